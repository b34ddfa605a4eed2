"""Divergence against statsmodels' McNemar test; exact intervals by enumeration; what capping does."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar

from harness.analyse import divergence as ours
from harness.analyse.statistics import paired_t


@pytest.mark.parametrize(("b", "c"), [(0, 6), (1, 5), (2, 2), (0, 1), (3, 9)])
def test_the_difference_is_mcnemars_exact_test(b: int, c: int) -> None:
    baseline = [True] * b + [False] * c + [True, False, False]
    arm = [False] * b + [True] * c + [True, False, False]
    found = ours.rate_difference(baseline, arm)
    reference: Any = mcnemar([[1, b], [c, 2]], exact=True)
    assert found.p == pytest.approx(reference.pvalue)
    assert (found.only_baseline, found.only_arm) == (b, c)
    assert found.difference == pytest.approx((c - b) / len(arm))
    assert found.smallest == min(1.0, 2.0 ** (1 - b - c))
    assert found.ci95[0] <= found.difference <= found.ci95[1]


def test_nothing_that_tells_the_arms_apart() -> None:
    found = ours.rate_difference([True, False], [True, False])
    assert (found.p, found.smallest, found.difference) == (1.0, 1.0, 0.0)
    assert found.ci95 == pytest.approx((-(1 - 0.0125**0.5), 1 - 0.0125**0.5)), "two pairs: 97.5 % for each of the two"


def test_the_interval_of_the_difference_covers_at_least_what_it_says() -> None:
    """All outcomes of 8 pairs, weighed by their probability: no simulation error."""
    n = 8
    for only_b, only_c in ((0.05, 0.3), (0.2, 0.2), (0.0, 0.5)):
        covered = 0.0
        for b, c in itertools.product(range(n + 1), repeat=2):
            if b + c <= n:
                ways = math.factorial(n) / (math.factorial(b) * math.factorial(c) * math.factorial(n - b - c))
                mass = ways * only_b**b * only_c**c * (1 - only_b - only_c) ** (n - b - c)
                low, high = ours.rate_difference(
                    [True] * b + [False] * (n - b), [False] * b + [True] * c + [False] * (n - b - c)
                ).ci95
                covered += mass * (low <= only_c - only_b <= high)
        assert covered >= 0.95


def test_a_rate_has_the_exact_interval() -> None:
    assert ours.rate([False] * 8).ci95 == pytest.approx((0, 0.3694), abs=1e-4)  # 1 - 0.025^(1/8)
    found = ours.rate([True, True, False, False])
    assert (found.diverged, found.runs, found.rate) == (2, 4, 0.5)
    with pytest.raises(ValueError, match="at least 1 run"):
        ours.rate([])
    with pytest.raises(ValueError, match="at least 1 seed"):
        ours.rate_difference([], [])


BASELINE = [1.65, 1.66, 1.64, 1.67, 1.65, 1.66, 1.65, 1.64]


def test_an_arm_that_keeps_only_its_lucky_seeds_looks_good_until_every_seed_counts() -> None:
    arm = [1.60, None, 1.60, 1.62, None, 1.61, None, 1.59]
    found = ours.intention_to_treat(BASELINE, arm, cap=5.545)
    assert found.completers is not None
    assert found.completers.ci[1] < 0, "completers only: better"
    assert found.capped.mean > 0, "intention to treat: worse"
    assert (found.arm.diverged, found.baseline.diverged, found.num_completers) == (3, 0, 5)
    assert found.divergence.only_arm == 3
    assert found.capped_sign_flip.p is not None
    assert found.capped_sign_flip.p > 0.05


def test_without_divergence_both_analyses_are_the_paired_t_test() -> None:
    arm = [value - 0.03 + 0.001 * i for i, value in enumerate(BASELINE)]
    found = ours.intention_to_treat(BASELINE, arm, cap=5.0)
    reference = paired_t([b - a for a, b in zip(BASELINE, arm, strict=True)])
    assert found.capped == found.completers == reference
    assert found.num_capped == 0


def test_a_finished_run_above_the_cap_counts_as_the_cap() -> None:
    found = ours.intention_to_treat([1.0, 1.0, 1.0], [1.5, 9.0, None], cap=2.0)
    assert found.capped.mean == pytest.approx(np.mean([0.5, 1.0, 1.0]))
    assert found.num_capped == 1
    assert found.capped_sign_flip.p is None, "3 seeds cannot reach 0.05"


def test_the_level_holds_when_both_arms_diverge_alike() -> None:
    rng = np.random.default_rng(8)
    wrong = 0
    for _ in range(800):
        losses = rng.normal(1.6, 0.01, (2, 8))
        lost = rng.random((2, 8)) < 0.25
        before, after = [
            [None if gone else v for v, gone in zip(*row, strict=True)] for row in zip(losses, lost, strict=True)
        ]
        p = ours.intention_to_treat(before, after, 5.5).capped_sign_flip.p
        wrong += p is not None and p <= 0.05
    assert wrong / 800 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 800)


def test_nonsense_is_refused_and_too_few_completers_are_none() -> None:
    assert ours.intention_to_treat([1.0, 1.0], [None, 1.0], 2.0).completers is None
    with pytest.raises(ValueError, match="the cap of a loss is a finite number"):
        ours.intention_to_treat(BASELINE, BASELINE, math.inf)
    with pytest.raises(ValueError, match="passed as None"):
        ours.intention_to_treat([1.0, math.nan], [1.0, 1.0], 2.0)
    with pytest.raises(ValueError, match="shorter"):
        ours.intention_to_treat([1.0, 1.0], [1.0], 2.0)
