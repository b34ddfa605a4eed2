"""Scaling: laws put in and found again, multipliers known in closed form, slopes against statsmodels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.formula.api import ols

from harness.analyse import scaling as ours

stats: Any = scipy.stats  # its own annotations do not know the results' fields

LADDER = [1e12, 4e12, 16e12, 64e12]


def loss(budget: float, floor: float = 1.2, scale: float = 0.6, alpha: float = 0.25) -> float:
    return floor + scale * (budget / 1e12) ** -alpha


def curve(gain: float = 1.0, budgets: list[float] = LADDER) -> np.ndarray:
    """Losses of an arm that is worth `gain` times its compute."""
    return np.array([loss(gain * c) for c in budgets])


def noisy(rng: np.random.Generator, clean: np.ndarray, seeds: int, sd: float = 0.003) -> np.ndarray:
    return clean + rng.normal(0, sd, (seeds, clean.size))


@settings(deadline=None, max_examples=15)
@given(st.floats(0.5, 2.0), st.floats(0.2, 2.0), st.floats(0.1, 0.8))
def test_a_law_without_noise_is_found_again(floor: float, scale: float, alpha: float) -> None:
    budgets = [1e12 * 3**k for k in range(6)]
    law = ours.fit_law(budgets, [loss(c, floor, scale, alpha) for c in budgets])
    assert law.residual < 1e-4
    for c in budgets:
        assert law.loss(c) == pytest.approx(loss(c, floor, scale, alpha), rel=2e-4)
    assert law.budget(law.loss(7e12)) == pytest.approx(7e12)
    assert law.budget(law.E) is None


def test_the_parameters_of_a_curved_ladder() -> None:
    budgets = [1e12 * 4**k for k in range(7)]
    law = ours.fit_law(budgets, [loss(c) for c in budgets])
    assert (law.E, law.alpha) == pytest.approx((1.2, 0.25), rel=1e-3)
    assert law.A * (1e12 / law.unit) ** -law.alpha == pytest.approx(0.6, rel=1e-3)
    again = ours.fit_law(budgets, [loss(c) for c in budgets], law)
    assert pytest.approx(law.E, rel=1e-4) == again.E


def test_one_run_that_went_wrong_does_not_bend_the_law() -> None:
    budgets = [1e12 * 2**k for k in range(8)]
    losses = [loss(c) for c in budgets]
    losses[3] += 0.05
    law = ours.fit_law(budgets, losses)
    off = [abs(law.loss(c) - loss(c)) for c in budgets]
    assert max(off) < 0.001, "Huber's loss; plain least squares is off by 0.014"
    assert law.residual > 0.02


@pytest.mark.parametrize("gain", [1.5, 0.7, 1.0])
def test_the_multiplier_is_the_gain_that_was_put_in(gain: float) -> None:
    same = np.ones((3, 1))
    for found in ours.multipliers(LADDER, same * curve(), same * curve(gain)):
        assert found.multiplier == pytest.approx(gain, rel=0.01)
        assert found.method.startswith("law")
        assert found.ci95 == pytest.approx((gain, gain), rel=0.01)


def test_the_interval_of_a_multiplier_covers() -> None:
    rng = np.random.default_rng(0)
    held, budgets = [], LADDER[:3]
    for _ in range(300):
        found = ours.multipliers(budgets, noisy(rng, curve(budgets=budgets), 4), noisy(rng, curve(1.5, budgets), 4))[1]
        truth = ours.local_budget(budgets, curve(budgets=budgets).tolist(), loss(1.5 * budgets[1]))
        assert found.ci95 is not None
        assert truth is not None
        held.append(found.ci95[0] <= truth / budgets[1] <= found.ci95[1])
    assert np.mean(held) == pytest.approx(0.95, abs=0.04)


def test_the_interval_through_the_law_covers() -> None:
    rng = np.random.default_rng(1)
    held = []
    for _ in range(20):
        found = ours.multipliers(LADDER, noisy(rng, curve(), 4), noisy(rng, curve(1.5), 4))[1]
        assert found.method == "law, jackknife"
        held.append(found.ci95 is not None and found.ci95[0] <= 1.5 <= found.ci95[1])
    assert np.mean(held) >= 0.8, "20 studies: 3 standard errors below 0.95"


def test_what_the_law_misses_is_no_gain_and_no_loss() -> None:
    """Seeds that all arms share, and a rung that lies off any law: an equal arm is worth 1, and pairing is kept."""
    rng = np.random.default_rng(4)
    bumpy = curve() + np.array([0.0, 0.03, -0.03, 0.02])
    shared = noisy(rng, bumpy, 4, 0.02)
    for found in ours.multipliers(LADDER, shared, shared):
        assert found.multiplier == pytest.approx(1)
        assert found.ci95 == pytest.approx((1, 1))
    for found in ours.multipliers(LADDER, shared, shared - 0.01)[:-1]:
        assert found.ci95 is not None
        assert found.ci95[0] > 1, "a hundredth that every seed has, under noise of two"


def test_beyond_twice_the_ladder_is_refused() -> None:
    twice = np.ones((2, 1))
    last = ours.multipliers(LADDER, twice * curve(), twice * curve(2.5))[-1]
    assert last.multiplier is None
    assert "1.6e+14 FLOPs, beyond 2 times the ladder (1e+12 to 6.4e+13); extend the ladder" in last.reason
    assert ours.multipliers(LADDER, twice * curve(), twice * curve(1.9))[-1].multiplier == pytest.approx(1.9, rel=0.02)
    first = ours.multipliers(LADDER, twice * curve(), twice * curve(0.4))[0]
    assert first.multiplier is None
    below = ours.multipliers(LADDER, twice * curve(), twice * (curve() - 0.9))[-1]
    assert below.multiplier is None
    assert "never reaches the arm's loss" in below.reason


def test_two_seeds_have_a_multiplier_and_no_interval() -> None:
    found = ours.multipliers(LADDER, np.ones((2, 1)) * curve(), np.ones((2, 1)) * curve(1.5))[0]
    assert found.ci95 is None
    assert "at least 3, got 2" in found.reason


def test_the_local_conversion_of_definitions() -> None:
    """ln CM = -Δ / |dL/d ln C|: with 0.1 nats per e-fold of compute, Δ = -0.04 is CM = 1.49."""
    budgets = [1.0, math.e, math.e**2]
    baseline = np.ones((2, 1)) * np.array([2.0, 1.9, 1.8])
    found = ours.multipliers(budgets, baseline, baseline - 0.04)
    assert [m.multiplier for m in found] == pytest.approx([math.exp(0.4)] * 3)
    assert math.exp(0.4) == pytest.approx(1.49, abs=0.002)
    assert found[0].method.startswith("local")


def test_the_local_budget_lies_between_its_rungs() -> None:
    budgets, losses = [4.0, 1.0, 16.0], [1.5, 2.0, 1.2]  # in any order
    assert ours.local_budget(budgets, losses, 1.75) == pytest.approx(2.0)
    assert ours.local_budget(budgets, losses, 1.35) == pytest.approx(8.0)
    assert ours.local_budget(budgets, losses, 1.2) == pytest.approx(16.0)
    assert ours.local_budget(budgets, losses, 2.25) == pytest.approx(0.5)
    assert ours.local_budget([1.0, 2.0], [1.0, 1.0], 0.9) is None, "a ladder that does not fall"


def test_the_slope_is_the_interaction_of_statsmodels() -> None:
    rng = np.random.default_rng(2)
    baseline, arm = noisy(rng, curve(), 3, 0.02), noisy(rng, curve(1.5), 3, 0.02)
    found = ours.slope_difference(LADDER, baseline, arm)
    rows = [
        {"y": table[s, k], "arm": float(a), "x": math.log(c), "seed": s, "budget": k}
        for a, table in enumerate((baseline, arm))
        for s in range(3)
        for k, c in enumerate(LADDER)
    ]
    fit = ols("y ~ C(seed):C(budget) + C(seed):arm + arm:x", pd.DataFrame(rows)).fit()
    assert found.df == fit.df_resid == 3 * 3 - 1
    assert found.slope == pytest.approx(fit.params["arm:x"])
    assert found.p == pytest.approx(fit.pvalues["arm:x"])
    assert found.ci95 == pytest.approx(tuple(fit.conf_int().loc["arm:x"]))
    own = [stats.linregress(np.log(LADDER), row).slope for row in arm - baseline]
    assert found.by_seed is not None
    assert found.by_seed.mean == pytest.approx(np.mean(own)) == found.slope


def test_the_slope_covers_and_no_noise_is_exact() -> None:
    rng = np.random.default_rng(3)
    x = np.log(LADDER)
    found = [ours.slope_difference(LADDER, noisy(rng, 0 * x, 3), noisy(rng, 0.01 * x, 3)).ci95 for _ in range(600)]
    assert np.mean([low <= 0.01 <= high for low, high in found]) == pytest.approx(0.95, abs=0.028)
    exact = ours.slope_difference(LADDER, np.zeros((2, 4)), np.ones((2, 1)) * 0.5 * x)
    assert exact.slope == pytest.approx(0.5)
    assert exact.ci95 == pytest.approx((0.5, 0.5))
    assert exact.p == 0


def test_ranks_at_two_budgets_are_scipys() -> None:
    small, large = [1.6, 1.5, 1.7, 1.55, 1.62], [1.3, 1.25, 1.28, 1.2, 1.4]
    found = ours.rank_stability(small, large)
    assert found.kendall == pytest.approx(stats.kendalltau(small, large).statistic)
    assert found.spearman == pytest.approx(stats.spearmanr(small, large).statistic)
    assert found.p == pytest.approx(stats.kendalltau(small, large).pvalue)
    kept = ours.rank_stability(small, [v - 0.3 for v in small])
    assert kept.kendall == pytest.approx(1)
    assert kept.p == pytest.approx(kept.smallest_p) == pytest.approx(2 / 120)
    assert ours.rank_stability([1.0, 2.0], [1.0, 2.0]) == (None, None, None, 2, 1.0)
    assert ours.rank_stability([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]).kendall is None
    assert ours.rank_stability([1.0, 1.0, 2.0], [1.0, 2.0, 3.0]).kendall == pytest.approx(2 / math.sqrt(6)), "tau-b"


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 4 budgets, got 3"):
        ours.fit_law([1.0, 2.0, 3.0, 3.0], [3.0, 2.0, 1.5, 1.4])
    with pytest.raises(ValueError, match="positive"):
        ours.fit_law([1.0, 2.0, 3.0, -4.0], [3.0, 2.0, 1.5, 1.4])
    with pytest.raises(ValueError, match="finite"):
        ours.multipliers(LADDER, np.full((3, 4), math.nan), np.ones((3, 4)))
    with pytest.raises(ValueError, match=r"needs \(seeds, 4\) losses of both arms"):
        ours.multipliers(LADDER, np.ones((3, 4)), np.ones((2, 4)))
    with pytest.raises(ValueError, match="a slope needs"):
        ours.slope_difference([1.0, 2.0], np.ones((1, 2)), np.ones((1, 2)))
    with pytest.raises(ValueError, match="the same arms, got 3 and 2"):
        ours.rank_stability([1.0, 2.0, 3.0], [1.0, 2.0])
