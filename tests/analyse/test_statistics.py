"""The statistics against independent references: scipy's tests, the table of definitions 3.5, simulation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.analyse import statistics as ours

NUMBERS = st.floats(-100, 100).map(lambda x: round(x, 4))
SAMPLES = st.lists(NUMBERS, min_size=2, max_size=12)
SPREAD = SAMPLES.filter(lambda values: max(values) - min(values) > 1e-3)
quick = settings(deadline=None, max_examples=60)


def p_of(result: Any) -> Any:
    """The p-value; scipy's own annotations do not know it."""
    return result.pvalue


@quick
@given(SPREAD, st.sampled_from([0.9, 0.95, 0.99]))
def test_paired_t_is_scipys(differences: list[float], confidence: float) -> None:
    reference = stats.ttest_1samp(differences, 0.0)
    low, high = reference.confidence_interval(confidence)
    mean, ci, p = ours.paired_t(differences, confidence)
    assert mean == pytest.approx(np.mean(differences), abs=1e-12)
    assert ci == pytest.approx((low, high), rel=1e-9, abs=1e-9)
    assert p == pytest.approx(p_of(reference), rel=1e-9)


def test_paired_t_is_scipys_test_of_two_related_samples() -> None:
    baseline, variant = [1.65, 1.66, 1.64, 1.67], [1.62, 1.66, 1.63, 1.66]
    differences = [v - b for b, v in zip(baseline, variant, strict=True)]
    assert ours.paired_t(differences).p == pytest.approx(p_of(stats.ttest_rel(variant, baseline)), rel=1e-9)


@quick
@given(SPREAD, st.floats(1e-3, 50))
def test_tost_is_the_worse_of_two_one_sided_t_tests(differences: list[float], margin: float) -> None:
    above = stats.ttest_1samp(differences, -margin, alternative="greater")
    below = stats.ttest_1samp(differences, margin, alternative="less")
    p = ours.tost(differences, margin)
    assert p == pytest.approx(max(p_of(above), p_of(below)), rel=1e-8, abs=1e-12)
    low, high = ours.paired_t(differences, confidence=0.9).ci
    if abs(p - 0.05) > 1e-9:
        assert (p < 0.05) == (-margin < low and high < margin), "equivalence is the 90 % interval inside the margin"


def brute_holm(p_values: list[float]) -> list[float]:
    """Holm's rule as it is told: the smallest adjusted level is the first at which the step-down rejects."""
    m = len(p_values)
    order = sorted(range(m), key=lambda i: p_values[i])
    return [min(1.0, max((m - rank) * p_values[order[rank]] for rank in range(order.index(i) + 1))) for i in range(m)]


@quick
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_the_step_down_rule(p_values: list[float]) -> None:
    adjusted = ours.holm(p_values)
    assert adjusted == pytest.approx(brute_holm(p_values))
    assert all(a is not None and a >= p for a, p in zip(adjusted, p_values, strict=True))


def test_holm_passes_untested_arms_through_uncounted() -> None:
    assert ours.holm([0.01, None, 0.04, 0.03]) == [pytest.approx(0.03), None, pytest.approx(0.06), pytest.approx(0.06)]
    assert ours.holm([None]) == [None]
    assert ours.holm([]) == []


@pytest.mark.parametrize(
    ("n", "half_width", "smallest"),  # definitions, section 3.5, in standard deviations of the difference
    [
        (3, 2.48, 3.26),
        (4, 1.59, 2.13),
        (5, 1.24, 1.68),
        (6, 1.05, 1.44),
        (8, 0.84, 1.16),
        (10, 0.72, 1.00),
        (16, 0.53, 0.75),
    ],
)
def test_the_table_of_definitions(n: int, half_width: float, smallest: float) -> None:
    assert ours.smallest_effect(1.0, n) == pytest.approx(smallest, abs=0.01)
    values = np.arange(n) / np.std(np.arange(n), ddof=1)
    _, (low, high), _ = ours.paired_t(values.tolist())
    assert (high - low) / 2 == pytest.approx(half_width, abs=0.01)


def test_the_smallest_effect_is_found_as_often_as_it_says() -> None:
    for n, alpha in ((2, 0.05), (4, 0.05), (4, 0.05 / 39), (30, 0.01)):
        effect = ours.smallest_effect(1.0, n, alpha=alpha)
        draws = np.random.default_rng(0).normal(effect, 1.0, (20_000, n))
        found = p_of(stats.ttest_1samp(draws, 0.0, axis=1)) <= alpha
        assert found.mean() == pytest.approx(0.8, abs=0.015)


def test_the_smallest_effect_grows_with_the_spread_and_shrinks_with_seeds() -> None:
    effects = [ours.smallest_effect(0.005, n) for n in range(2, 60)]
    assert effects == sorted(effects, reverse=True)
    assert ours.smallest_effect(0.01, 4) == pytest.approx(2 * ours.smallest_effect(0.005, 4))
    assert ours.smallest_effect(0.0, 4) == 0
    with pytest.raises(ValueError, match="at least 2 pairs, got 1; run more seeds"):
        ours.smallest_effect(1.0, 1)


@quick
@given(st.floats(1e-4, 1.0), st.floats(1e-4, 1.0))
def test_pairs_needed_is_the_first_number_that_suffices(sd: float, effect: float) -> None:
    needed = ours.pairs_needed(sd, effect)
    if needed is None:
        assert ours.smallest_effect(sd, ours.MOST_PAIRS) > effect
    else:
        assert ours.smallest_effect(sd, needed) <= effect
        assert needed == 2 or ours.smallest_effect(sd, needed - 1) > effect


def test_pairs_needed_also_does_for_equivalence() -> None:
    rng = np.random.default_rng(1)
    for n in (5, 8, 12):
        margin = ours.smallest_effect(1.0, n)
        passed = [ours.tost(draw.tolist(), margin) <= 0.05 for draw in rng.normal(0, 1, (400, n))]
        assert np.mean(passed) == pytest.approx(0.82, abs=0.06)


@quick
@given(SPREAD)
def test_the_probability_of_being_below_zero_is_the_posteriors(differences: list[float]) -> None:
    error = np.std(differences, ddof=1) / math.sqrt(len(differences))
    posterior = stats.t(len(differences) - 1, loc=np.mean(differences), scale=error)
    p = ours.probability_below_zero(differences)
    assert p == pytest.approx(posterior.cdf(0), rel=1e-9, abs=1e-12)
    assert p + ours.probability_below_zero([-d for d in differences]) == pytest.approx(1)


def test_hedges_g_has_the_published_correction() -> None:
    for n, correction in ((3, 0.5642), (5, 0.7979), (11, 0.9228)):  # c(2), c(4), c(10) in Hedges 1981, table 1
        values = list(range(n))
        cohen = np.mean(values) / np.std(values, ddof=1)
        assert ours.hedges_g(values) == pytest.approx(correction * cohen, rel=2e-4)
    assert ours.hedges_g([1.0, 2.0]) is None
    assert ours.hedges_g([1.0, 1.0, 1.0]) is None


def test_the_pairing_correlation_is_pearsons() -> None:
    baseline, variant = [1.0, 2.0, 4.0, 3.0], [1.1, 1.9, 4.2, 2.5]
    reference = stats.pearsonr(baseline, variant)[0]
    assert ours.pairing_correlation(baseline, variant) == pytest.approx(reference)
    assert ours.pairing_correlation(baseline[:2], variant[:2]) is None
    assert ours.pairing_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None


@pytest.mark.parametrize(("mean", "p", "below", "p_equivalence"), [(0.0, 1, 0.5, 0), (0.005, 0, 0, 0), (-0.3, 0, 1, 1)])
def test_no_spread_is_exact(mean: float, p: float, below: float, p_equivalence: float) -> None:
    differences = [mean] * 3  # 0.1 + 0.1 + 0.1 is not 0.3: a naive deviation would not be 0
    assert ours.paired_t(differences) == (mean, (mean, mean), p)
    assert ours.probability_below_zero(differences) == below
    assert ours.tost(differences, 0.01) == p_equivalence
    assert ours.mean_and_sd(differences) == (mean, 0.0, 3)


def test_equality_at_the_margin_is_not_equivalence() -> None:
    assert ours.tost([0.01, 0.01], 0.01) == 1


@pytest.mark.parametrize("values", [[], [1.0]])
def test_fewer_than_two_values_have_no_spread(values: list[float]) -> None:
    for function in (ours.paired_t, ours.probability_below_zero, ours.hedges_g, ours.mean_and_sd):
        with pytest.raises(ValueError, match=f"at least 2 values, got {len(values)}; run more seeds"):
            function(values)
    with pytest.raises(ValueError, match="at least 2 values"):
        ours.tost(values, 0.01)


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="finite values"):
        ours.paired_t([1.0, float("nan")])
    for margin in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="a margin of equivalence is greater than 0"):
            ours.tost([1.0, 2.0], margin)


def test_intervals_cover_and_tests_hold_their_level() -> None:
    rng = np.random.default_rng(7)
    draws = rng.normal(0.01, 0.005, (600, 4)).tolist()
    covered = [low <= 0.01 <= high for _, (low, high), _ in map(ours.paired_t, draws)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.025)
    at_the_margin = [ours.tost(draw, 0.01) <= 0.05 for draw in draws]
    assert np.mean(at_the_margin) == pytest.approx(0.05, abs=0.025)
