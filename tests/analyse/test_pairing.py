"""What pairing buys: its definition, scipy's interval of a correlation, and exact coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.analyse.pairing import pairing

VALUES = st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=4, max_size=12)


@settings(deadline=None, max_examples=60)
@given(VALUES.filter(lambda pairs: all(len({p[i] for p in pairs}) > 1 for i in (0, 1))))
def test_the_gain_is_its_definition_and_at_most_the_correlation(pairs: list[tuple[int, int]]) -> None:
    baseline, arm = np.array(pairs, dtype=float).T
    found = pairing(baseline.tolist(), arm.tolist())
    sigma2 = (baseline.var(ddof=1) + arm.var(ddof=1)) / 2
    assert found.gain == pytest.approx(1 - (arm - baseline).var(ddof=1) / (2 * sigma2), abs=1e-9)
    assert found.correlation is not None
    assert found.gain is not None
    assert abs(found.gain) <= abs(found.correlation) + 1e-9, "equal where both arms spread alike"
    if abs(found.correlation) < 0.999:
        low, high = stats.pearsonr(baseline, arm).confidence_interval()
        assert found.correlation_ci95 == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize(("n", "rho"), [(4, 0.9), (8, 0.0), (8, -0.4)])
def test_the_interval_of_the_gain_is_exact(n: int, rho: float) -> None:
    draws = np.random.default_rng(0).multivariate_normal([0, 0], [[1, rho], [rho, 1]], (1500, n))
    ends = [pairing(x.tolist(), y.tolist()).gain_ci95 for x, y in draws.transpose(0, 2, 1)]
    held = [ci is not None and ci[0] <= rho <= ci[1] for ci in ends]
    assert np.mean(held) == pytest.approx(0.95, abs=0.018)


def test_the_seeds_that_an_unpaired_study_needs() -> None:
    rng = np.random.default_rng(1)
    seeds = rng.normal(0, 3, 4000)
    found = pairing((seeds + rng.normal(0, 1, 4000)).tolist(), (seeds + rng.normal(0, 1, 4000)).tolist())
    assert found.gain == pytest.approx(0.9, abs=0.02)
    assert found.seeds_ratio == pytest.approx(10, rel=0.1)


def test_perfect_pairs_no_spread_and_nonsense() -> None:
    values = [1.0, 2.0, 4.0, 3.0]
    same = pairing(values, values)
    assert (same.gain, same.seeds_ratio) == (1.0, math.inf)
    assert same.gain_ci95 == (1.0, 1.0)
    opposite = pairing(values, [-v for v in values])
    assert opposite.gain == -1
    assert opposite.gain_ci95 is None
    assert pairing([1.0] * 4, [2.0] * 4) == (None, None, None, None, None)
    one_flat = pairing([1.0] * 4, values)
    assert one_flat.correlation is None
    assert one_flat.gain == pytest.approx(0)
    assert pairing(values[:3], [1.0, 3.0, 2.0]).correlation_ci95 is None
    with pytest.raises(ValueError, match="the same seeds in both arms, got 4 and 3"):
        pairing(values, values[:3])
    with pytest.raises(ValueError, match="finite"):
        pairing(values, [math.nan] * 4)
