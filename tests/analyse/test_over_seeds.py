"""Intervals over whole seeds: the jackknife of a mean is Student's, and both cover a curved statistic."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.analyse.over_seeds import FEWEST_RESAMPLED, over_seeds


def test_the_jackknife_of_a_mean_is_students_interval() -> None:
    values = np.array([0.3, 0.1, 0.4, 0.15, 0.9])
    found = over_seeds(lambda rows: float(values[rows].mean()), 5)
    low, high = stats.ttest_1samp(values, 0).confidence_interval()
    assert found.ci == pytest.approx((low, high))
    assert found.method == "jackknife"


def test_many_seeds_are_resampled() -> None:
    values = np.random.default_rng(0).normal(0, 1, FEWEST_RESAMPLED)
    found = over_seeds(lambda rows: float(values[rows].mean()), len(values))
    reference = stats.bootstrap(
        (values,), np.mean, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert found.method == "percentile bootstrap"
    assert found.ci == pytest.approx((reference.low, reference.high), abs=0.06)
    assert found == over_seeds(lambda rows: float(values[rows].mean()), len(values))


def test_the_interval_of_a_ratio_of_means_covers() -> None:
    rng = np.random.default_rng(2)
    held = []
    for _ in range(1000):
        x = rng.normal(10, 1, 5)
        y = 0.5 * x + rng.normal(0, 0.5, 5)
        ci = over_seeds(lambda rows, x=x, y=y: float(y[rows].mean() / x[rows].mean()), 5).ci
        assert ci is not None
        held.append(ci[0] <= 0.5 <= ci[1])
    assert np.mean(held) == pytest.approx(0.95, abs=0.025)


def test_what_does_not_exist_everywhere_has_no_interval() -> None:
    assert "at least 3, got 2" in over_seeds(lambda rows: 1.0, 2).reason
    partly = over_seeds(lambda rows: 1.0 if 0 in rows else None, 5)
    assert partly.ci is None
    assert "one of 1 of the 5 seeds is left out" in partly.reason
    often = over_seeds(lambda rows: 1.0 if 0 in rows else None, 30)
    assert often.ci is None
    assert "of 999 resamples of the 30 seeds" in often.reason
    with pytest.raises(ValueError, match="all seeds together"):
        over_seeds(lambda rows: None, 5)
