"""Looks declared beforehand: known boundaries, error rates of simulated studies, and the runs they save."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats

from harness.analyse import sequential as ours
from harness.analyse.statistics import paired_t, tost

stats: Any = scipy.stats  # its own annotations do not know the results' fields

LOOKS = (4, 8, 12)
STUDIES = 2500
BOUND = 0.05 + 3 * math.sqrt(0.05 * 0.95 / STUDIES)


@pytest.mark.parametrize(
    ("share", "spent"),  # of 0.05 two-sided, as in R's ldbounds and gsDesign (0.025 a side)
    [(1 / 3, 0.00021), (0.5, 0.00305), (2 / 3, 0.01210), (1, 0.05)],
)
def test_the_level_spent(share: float, spent: float) -> None:
    assert ours.spending(share) == pytest.approx(spent, abs=1e-5)
    assert ours.spending(share) == pytest.approx(2 * ours.spending(share, 0.025, sides=1))


def test_with_many_pairs_the_boundaries_are_the_published_ones_of_known_variance() -> None:
    """z of O'Brien-Fleming-type spending, 0.05 two-sided, equal looks (ldbounds, gsDesign), at the same p."""
    for looks, published in (((30, 60, 90), (3.710, 2.511, 1.993)), ((40, 80), (2.963, 1.969))):
        expected = [stats.t.isf(stats.norm.sf(z), n - 1) for z, n in zip(published, looks, strict=True)]
        assert ours.boundaries(looks) == pytest.approx(expected, abs=0.02)


def test_the_first_boundary_is_students_and_few_pairs_need_more() -> None:
    found = ours.boundaries(LOOKS)
    assert found[0] == pytest.approx(stats.t.isf(ours.spending(1 / 3) / 2, 3))
    assert found[0] > found[1] > found[2] > stats.t.isf(0.025, 11)
    assert found[1] > 2.511 and found[2] > 1.993  # noqa: PT018 - those of known variance
    one_look = ours.boundaries((8,), sides=1)
    assert one_look == pytest.approx((stats.t.isf(0.05, 7),))
    assert ours.boundaries([4, 8, 12]) == found


def decisions(
    rng: np.random.Generator, effect: float, margin: float | None, count: int = STUDIES
) -> list[ours.Decision]:
    """Whole studies of two arms whose runs correlate over seeds, decided look by look as a user would."""
    seeds = rng.normal(0, 3, (count, LOOKS[-1]))
    baseline = seeds + rng.normal(0, math.sqrt(0.5), seeds.shape)
    arm = seeds + effect + rng.normal(0, math.sqrt(0.5), seeds.shape)
    found = []
    for row in arm - baseline:
        steps = (ours.decide(row[:pairs].tolist(), LOOKS, margin) for pairs in LOOKS)
        found.append(next(decision for decision in steps if decision.word != "go on"))
    return found


def test_differences_are_found_wrongly_no_more_often_than_said_and_looking_naively_is_not_so() -> None:
    rng = np.random.default_rng(0)
    found = decisions(rng, 0.0, None)
    assert np.mean([d.word == "different" for d in found]) <= BOUND
    draws = rng.normal(0, 1, (STUDIES, 12))
    naive = [stats.ttest_1samp(draws[:, :n], 0, axis=1).pvalue <= 0.05 for n in LOOKS]
    assert np.any(naive, axis=0).mean() > 0.08, "why looks must be paid for"


def test_equivalence_is_declared_wrongly_no_more_often_than_said() -> None:
    found = decisions(np.random.default_rng(1), 1.5, 1.5)  # a true difference of exactly the margin
    assert np.mean([d.word == "equivalent" for d in found]) <= BOUND
    assert np.mean([d.word == "equivalent" for d in found]) >= 0.02, "the test is not empty"


def test_a_large_effect_and_an_equivalent_arm_save_runs() -> None:
    rng = np.random.default_rng(2)
    large = decisions(rng, 1.5, None, 400)
    assert np.mean([d.word == "different" for d in large]) > 0.97
    assert np.mean([d.pairs for d in large]) < 9.2
    same = decisions(rng, 0.0, 1.5, 400)
    assert np.mean([d.word == "equivalent" for d in same]) > 0.9
    assert np.mean([d.pairs for d in same]) < 9.5


def test_the_repeated_interval_covers_wherever_the_study_stopped() -> None:
    found = decisions(np.random.default_rng(3), 1.0, None)
    held = [d.ci[0] <= 1.0 <= d.ci[1] for d in found]
    assert np.mean(held) >= 1 - BOUND
    naive = np.mean([d.mean for d in found if d.pairs < 12])
    assert naive > 1.1, "the estimate of studies that stopped early is too large, as the docstring says"


def test_a_family_of_arms_that_share_their_baseline_keeps_its_level() -> None:
    rng = np.random.default_rng(4)
    bounds, wrong = ours.boundaries(LOOKS, 0.05 / 5), np.zeros(6000, dtype=bool)
    runs = rng.normal(0, 1, (6000, 12, 6))
    differences = runs[:, :, 1:] - runs[:, :, :1]
    for n, bound in zip(LOOKS, bounds, strict=True):
        part = differences[:, :n]
        t = part.mean(axis=1) / (part.std(axis=1, ddof=1) / math.sqrt(n))
        wrong |= (np.abs(t) >= bound).any(axis=1)
    assert wrong.mean() <= 0.05


def test_operating_says_what_deciding_does() -> None:
    told = ours.operating(LOOKS, 1.0, 1.8)
    done = decisions(np.random.default_rng(5), 1.0, 1.8, 1200)
    assert told.different == pytest.approx(np.mean([d.word == "different" for d in done]), abs=0.05)
    assert told.equivalent == pytest.approx(np.mean([d.word == "equivalent" for d in done]), abs=0.05)
    assert told.expected_pairs == pytest.approx(np.mean([d.pairs for d in done]), abs=0.3)
    assert told.different + told.equivalent + told.inconclusive == pytest.approx(1)
    fixed = ours.operating((12,), 1.0)
    assert fixed.expected_pairs == 12
    assert fixed.different - ours.operating(LOOKS, 1.0).different < 0.04, "what three looks cost in power"


def test_one_look_is_the_fixed_test() -> None:
    rng = np.random.default_rng(6)
    for row in rng.normal(0.5, 1, (50, 8)).tolist():
        decision = ours.decide(row, (8,), margin=1.2)
        equivalent, different = tost(row, 1.2) <= 0.05, paired_t(row).p <= 0.05
        assert decision.word == ("equivalent" if equivalent else "different" if different else "inconclusive")
        assert decision.ci == pytest.approx(paired_t(row).ci)


def test_what_an_earlier_look_decided_stands() -> None:
    clear = [1.0, 1.01, 0.99, 1.0]
    assert ours.decide(clear, LOOKS).word == "different"
    later = ours.decide([*clear, -5.0, 4.0, -3.0, 2.0], LOOKS)
    assert (later.word, later.look, later.pairs) == ("different", 0, 4)


def test_a_look_too_early_to_be_placed_does_not_stop() -> None:
    found = ours.boundaries(LOOKS, 0.05 / 39)
    assert found[1] == math.inf
    assert found[2] == pytest.approx(stats.t.isf(0.05 / 39 / 2, 11), rel=0.03)
    assert ours.decide([0.0] * 8, LOOKS, margin=0.1).word == "equivalent", "no spread is exact"
    with pytest.raises(ValueError, match="test fewer arms"):
        ours.boundaries(LOOKS, 1e-4)


def test_no_spread_and_nonsense() -> None:
    assert ours.decide([0.1] * 4, LOOKS).word == "different"
    assert ours.decide([0.0] * 4, LOOKS).word == "go on"
    assert ours.decide([0.1] * 12, LOOKS, margin=0.1).word == "different", "equality at the margin is not equivalence"
    with pytest.raises(ValueError, match="taken at 4, 8, 12 pairs only, got 5"):
        ours.decide([0.1] * 5, LOOKS)
    for looks in ((), (1, 4), (4, 4), (8, 4)):
        with pytest.raises(ValueError, match="looks are growing numbers of pairs"):
            ours.boundaries(looks)
    with pytest.raises(ValueError, match="margin of equivalence is greater than 0"):
        ours.decide([0.1] * 4, LOOKS, margin=0.0)
    with pytest.raises(ValueError, match="finite"):
        ours.decide([math.nan] * 4, LOOKS)
    with pytest.raises(ValueError, match=r"lies in \(0, 1\]"):
        ours.spending(0.0)
