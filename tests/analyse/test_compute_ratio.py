"""The baseline's compute for an arm's loss: a law whose answer is known, and the interval's coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.analyse.compute_ratio import log_compute_ratio

BUDGETS = [1.0, 2.0, 4.0]


def line(budget: float) -> float:
    """A loss that falls by 0.1 with every doubling."""
    return 2.0 - 0.1 * math.log2(budget)


def test_a_known_ratio_and_its_hand_made_error() -> None:
    ladder = [[line(b)] * 3 for b in BUDGETS]
    effect, reason = log_compute_ratio(BUDGETS, ladder, [line(1.5)] * 3, 1.0)
    assert reason == ""
    assert effect is not None
    assert effect.raw == pytest.approx(math.log(1.5))
    assert effect.error == pytest.approx(0)
    # only the arm varies: ln CM has slope ln 2 / 0.1 in its loss, so the error is that times the arm's own
    arm = [1.94, 1.95, 1.96]
    effect, _ = log_compute_ratio(BUDGETS, ladder, arm, 1.0)
    assert effect is not None
    assert effect.error == pytest.approx(math.log(2) / 0.1 * 0.01 / math.sqrt(3))
    assert effect.df == pytest.approx(2)


def test_what_it_refuses() -> None:
    ladder = [[line(b)] * 2 for b in BUDGETS]
    for arm, ladder_, says in (
        ([0.5, 0.5], ladder, "beyond 2 times the ladder"),
        ([1.9], ladder, "2 seeds or more"),
        ([1.9, 1.9], [[2.0, 2.0]] * 3, "does not fall"),
        ([1.9, 1.9], ladder[:1], "2 budgets or more"),
    ):
        effect, reason = log_compute_ratio(BUDGETS[: len(ladder_)], ladder_, arm, 1.0)
        assert effect is None
        assert says in reason


def test_coverage_with_uneven_samples() -> None:
    """8, 5 and 3 seeds of the ladder and 8 of the arm: 95 % intervals cover between 92 and 98 %."""
    rng, truth, covered, studies = np.random.default_rng(0), math.log(1.5), 0, 400
    for _ in range(studies):
        ladder = [rng.normal(line(b), 0.01, n).tolist() for b, n in zip(BUDGETS, (8, 5, 3), strict=True)]
        effect, _ = log_compute_ratio(BUDGETS, ladder, rng.normal(line(1.5), 0.01, 8).tolist(), 1.0)
        assert effect is not None
        low, high = effect.interval(0.05)
        covered += low <= truth <= high
    assert 0.92 <= covered / studies <= 0.98
