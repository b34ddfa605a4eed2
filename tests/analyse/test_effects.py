"""Effects against the definitions of rliable, scipy, and by simulated coverage."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats

from harness.analyse import effects as ours
from harness.analyse.finite import binomial_interval

stats: Any = scipy.stats  # its own annotations do not know the results' fields


def test_the_interquartile_mean_is_rliables() -> None:
    scores = np.random.default_rng(0).normal(0, 1, (7, 5))
    assert ours.interquartile_mean(scores) == pytest.approx(float(stats.trim_mean(scores, 0.25, axis=None)))
    assert ours.interquartile_mean(np.array([[0.0, 1, 2, 100]])) == 1.5


def test_the_probability_of_improvement_is_mann_and_whitneys() -> None:
    rng = np.random.default_rng(1)
    arm, baseline = rng.integers(0, 6, (6, 4)).astype(float), rng.integers(0, 5, (5, 4)).astype(float)
    by_task = [stats.mannwhitneyu(arm[:, t], baseline[:, t]).statistic / 30 for t in range(4)]
    assert ours.probability_of_improvement(arm, baseline) == pytest.approx(np.mean(by_task))
    lower = ours.probability_of_improvement(arm, baseline, "lower")
    assert lower == pytest.approx(1 - ours.probability_of_improvement(arm, baseline))
    assert ours.probability_of_improvement(arm, arm) == 0.5
    with pytest.raises(ValueError, match="the same tasks, got 4 and 3"):
        ours.probability_of_improvement(arm, baseline[:, :3])


def test_one_lucky_seed_is_not_many() -> None:
    """Scores of a run hang together: cells resampled apart cover far too little, whole runs cover."""
    rng = np.random.default_rng(2)
    held = {"runs": 0, "cells": 0}
    for _ in range(100):
        scores = rng.normal(0, 1, (6, 1)) + rng.normal(0, 0.3, (6, 10))
        for unit in ("runs", "cells"):
            ci = ours.aggregate(ours.interquartile_mean, scores, resample=unit, draws=99).ci
            assert ci is not None
            held[unit] += ci[0] <= 0 <= ci[1]
    assert held["cells"] / 100 < 0.7
    assert held["runs"] / 100 >= 0.87, "standard error 0.022"


def test_both_arms_of_a_seed_are_resampled_together() -> None:
    rng = np.random.default_rng(3)
    baseline = rng.normal(0, 5, (8, 3))
    arm = baseline + rng.normal(0.5, 0.1, (8, 3))
    found = ours.aggregate(lambda a, b: float((a - b).mean()), arm, baseline)
    assert found.ci is not None
    low, high = stats.ttest_1samp((arm - baseline).mean(axis=1), 0).confidence_interval()
    assert found.ci == pytest.approx((low, high))
    with pytest.raises(ValueError, match=r"the same runs, got \[8, 7\]"):
        ours.aggregate(ours.probability_of_improvement, arm, baseline[:7])


def test_the_stratified_bootstrap_is_the_standard_error_of_independent_cells() -> None:
    scores = np.random.default_rng(4).normal([0, 5, 9], [1, 2, 0.5], (40, 3))
    found = ours.aggregate(lambda table: float(table.mean()), scores, resample="cells")
    error = math.sqrt(sum(scores[:, t].var() / 40 for t in range(3))) / 3  # strata: tasks are not resampled
    assert found.ci is not None
    assert found.ci[1] - found.ci[0] == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert found == ours.aggregate(lambda table: float(table.mean()), scores, resample="cells")


def test_superiority_counts_seeds_and_halves_ties() -> None:
    found = ours.superiority([-0.1, -0.2, 0.0, 0.3])
    assert (found.wins, found.ties, found.losses, found.probability) == (2, 1, 1, 0.625)
    assert found.ci95 == binomial_interval(2, 3)
    assert ours.superiority([-0.1, -0.2, 0.0, 0.3], "higher").wins == 1
    assert ours.superiority([0.0, 0.0]).ci95 == (0, 1)


def test_the_standardised_interval_is_the_noncentral_t_that_is_not_rejected() -> None:
    values = [0.5, 0.9, 0.1, 0.7, 0.4, 0.8]
    found = ours.standardised(values)
    assert found.ci95 is not None
    t = math.sqrt(6) * np.mean(values) / np.std(values, ddof=1)
    assert stats.nct.sf(t, 5, found.ci95[0] * math.sqrt(6)) == pytest.approx(0.025, abs=1e-4)
    assert stats.nct.cdf(t, 5, found.ci95[1] * math.sqrt(6)) == pytest.approx(0.025, abs=1e-4)
    mirrored = ours.standardised([-v for v in values])
    assert mirrored.ci95 == pytest.approx((-found.ci95[1], -found.ci95[0]), abs=1e-4)


@pytest.mark.parametrize(("n", "effect"), [(3, 0.5), (5, 2.0)])
def test_the_standardised_interval_covers(n: int, effect: float) -> None:
    draws = np.random.default_rng(5).normal(effect, 1, (700, n)).tolist()
    intervals = [ours.standardised(row).ci95 for row in draws]
    held = [ci is not None and ci[0] <= effect <= ci[1] for ci in intervals]
    assert np.mean(held) == pytest.approx(0.95, abs=0.025)


def test_far_effects_and_no_spread() -> None:
    far = ours.standardised([1.0, 1.001, 0.999, 1.0])
    assert far.ci95 is not None
    assert far.ci95[0] > 100
    assert ours.standardised([0.1] * 3) == (None, None)
    with pytest.raises(ValueError, match="finite"):
        ours.superiority([math.nan])
