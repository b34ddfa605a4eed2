"""Planning against the table of definitions 3.5, statsmodels, quadrature and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats
from statsmodels.stats.power import TTestPower

from harness.analyse import planning as ours


@pytest.mark.parametrize(
    ("n", "effect", "margin"),  # definitions 3.5, in standard deviations of the difference
    [
        (3, 3.26, 2.66),
        (4, 2.13, 1.94),
        (5, 1.68, 1.60),
        (6, 1.44, 1.40),
        (8, 1.16, 1.15),
        (10, 1.00, 1.00),
        (16, 0.75, 0.77),
    ],
)
def test_the_table_of_definitions(n: int, effect: float, margin: float) -> None:
    (row,) = ours.detectable(1.0, [n])
    assert row.pairs == n
    assert row.smallest_effect == pytest.approx(effect, abs=0.01)
    assert row.smallest_margin == pytest.approx(margin, abs=0.01)
    solved = TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8)
    assert row.smallest_effect == pytest.approx(solved, abs=1e-3)


def test_the_figures_definitions_quotes() -> None:
    assert ours.smallest_margin(0.005, 8) == pytest.approx(0.0058, abs=5e-5)
    assert ours.smallest_margin(0.005, 3) == pytest.approx(0.0133, abs=5e-5)


@pytest.mark.parametrize(("margin", "n", "effect"), [(1.2, 6, 0.0), (2.0, 3, 0.5), (0.8, 20, 0.2), (1.0, 8, 1.0)])
def test_the_power_of_two_one_sided_tests(margin: float, n: int, effect: float) -> None:
    critical = stats.t.isf(0.05, n - 1)

    def inside(s: float) -> float:
        low, high = stats.norm.cdf(
            [(-margin - effect) * math.sqrt(n) + critical * s, (margin - effect) * math.sqrt(n) - critical * s]
        )
        return max(0.0, high - low) * 2 * s * (n - 1) * float(stats.chi2.pdf(s * s * (n - 1), n - 1))

    exact, _ = integrate.quad(inside, 0, margin * math.sqrt(n) / critical + 1e-9, epsabs=1e-9, limit=200)
    assert ours.tost_power(margin, n, effect) == pytest.approx(exact, abs=2e-5)
    draws = np.random.default_rng(0).normal(effect, 1, (40_000, n))
    t = (margin - np.abs(draws.mean(axis=1))) / (draws.std(axis=1, ddof=1) / math.sqrt(n))
    assert ours.tost_power(margin, n, effect) == pytest.approx(float((t >= critical).mean()), abs=0.01)


def test_the_power_at_the_margin_is_at_most_the_level() -> None:
    for n in (2, 3, 5, 8, 30):
        assert ours.tost_power(2.0, n, effect=2.0) <= 0.05 + 1e-4
        powers = [ours.tost_power(margin, n) for margin in (0.1, 0.5, 1.0, 2.0, 4.0)]
        assert powers == sorted(powers)


@pytest.mark.parametrize(("sd", "margin"), [(0.005, 0.01), (0.01, 0.01), (0.003, 0.01)])
def test_the_pairs_for_equivalence_are_the_first_that_suffice(sd: float, margin: float) -> None:
    pairs = ours.pairs_for_equivalence(sd, margin)
    assert pairs is not None
    assert ours.tost_power(margin / sd, pairs) >= 0.8 - 1e-9 > ours.tost_power(margin / sd, pairs - 1)


def test_a_plan() -> None:
    found = ours.plan(0.005, 0.01)
    assert found == (0.01, 0.8, 0.005, 5, 4, 6)
    shared = ours.plan(0.005, 0.01, tests=6)
    assert shared.pairs_for_sign_flip == 8
    assert shared.pairs_for_difference is not None
    assert shared.pairs_for_difference > 5
    hopeless = ours.plan(1.0, 0.001)
    assert hopeless.pairs_for_difference is None
    assert hopeless.pairs_for_equivalence is None


def test_a_cautious_spread_is_above_the_true_one_as_often_as_it_says() -> None:
    draws = np.random.default_rng(1).normal(0, 2, (1500, 4)).tolist()
    assert np.mean([ours.cautious_sd(row) >= 2 for row in draws]) == pytest.approx(0.8, abs=0.03)
    assert np.mean([np.std(row, ddof=1) >= 2 for row in draws]) < 0.45, "why: the estimate is usually too small"
    assert ours.cautious_sd([1.0, 1.0]) == 0


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 pairs, got 1"):
        ours.tost_power(1.0, 1)
    for sd, effect in ((-1.0, 1.0), (1.0, 0.0), (math.nan, 1.0), (1.0, math.inf)):
        with pytest.raises(ValueError, match="a plan needs a spread"):
            ours.plan(sd, effect)
    with pytest.raises(ValueError, match="level lies between"):
        ours.plan(1.0, 1.0, power=1.0)
