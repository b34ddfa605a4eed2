"""Contributions: the Shapley value by walking every order, sums that are exact, and what interaction shows."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analyse import contributions as ours
from harness.analyse.factorial import Cells, Factor
from harness.analyse.statistics import paired_t


def cells(values: np.ndarray) -> Cells:
    factors = tuple(Factor(name, ("off", "on")) for name in "abcd"[: values.ndim - 1])
    return Cells(factors, tuple(range(values.shape[-1])), values)


def walked(values: np.ndarray, factor: int) -> np.ndarray:
    """(seeds,) the mean step of one factor over every order of switching on."""
    k, steps = values.ndim - 1, []
    for order in itertools.permutations(range(k)):
        state = [0] * k
        for i in order:
            before = values[tuple(state)]
            state[i] = 1
            if i == factor:
                steps.append(values[tuple(state)] - before)
    return np.mean(steps, axis=0)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_the_shapley_value_is_the_mean_over_orders_and_everything_adds_up(seed: int, k: int) -> None:
    values = np.random.default_rng(seed).normal(0, 1, (2,) * k + (3,))
    table = cells(values)
    found = ours.contributions(table)
    for i, part in enumerate(found.parts):
        assert ours.shapley_by_seed(table, part.factor) == pytest.approx(walked(values, i))
    total = values[(1,) * k].mean() - values[(0,) * k].mean()
    assert found.total.mean == pytest.approx(total)
    assert sum(part.shapley.mean for part in found.parts) == pytest.approx(total, abs=1e-12)
    assert sum(part.path.mean for part in found.parts) == pytest.approx(total, abs=1e-12)
    assert sum(part.share or 0 for part in found.parts) == pytest.approx(1)


def test_the_known_answer_of_two_factors() -> None:
    """v = 0, 1 with a, 2 with b, 5 with both: Shapley (1 + 3)/2 = 2 and (2 + 4)/2 = 3."""
    found = ours.contributions(
        cells(np.array([[0.0, 2.0], [1.0, 5.0]])[..., None] + np.array([0.0, 0.5, 0.1, 0.2, 9.0]))
    )
    a, b = found.parts
    assert (a.add_one.mean, a.leave_one_out.mean, a.shapley.mean) == pytest.approx((1, 3, 2))
    assert (b.add_one.mean, b.leave_one_out.mean, b.shapley.mean) == pytest.approx((2, 4, 3))
    assert (a.share, b.share) == pytest.approx((0.4, 0.6))
    assert (a.path.mean, b.path.mean) == pytest.approx((1, 4))
    other = ours.contributions(cells(np.array([[0.0, 2.0], [1.0, 5.0]])[..., None] + np.zeros(3)), path=("b", "a"))
    assert [part.path.mean for part in other.parts] == pytest.approx([3, 2])


def test_without_interaction_all_four_answers_are_one() -> None:
    rng = np.random.default_rng(1)
    parts = [rng.normal(0, 1, 2).reshape([2 if i == axis else 1 for i in range(4)]) for axis in range(3)]
    found = ours.contributions(cells(sum(parts) + np.zeros((2, 2, 2, 1)) + rng.normal(0, 1, 5)))
    for part in found.parts:
        answers = [part.add_one.mean, part.leave_one_out.mean, part.path.mean]
        assert answers == pytest.approx([part.shapley.mean] * 3)


def test_intervals_are_students_over_seeds_with_the_bootstrap_beside() -> None:
    values = np.random.default_rng(2).normal(0, 1, (2, 2, 6))
    table = cells(values)
    part = ours.contributions(table).parts[0]
    assert part.shapley == paired_t(walked(values, 0).tolist()) or part.shapley.mean == pytest.approx(
        walked(values, 0).mean()
    )
    assert part.add_one == paired_t((values[1, 0] - values[0, 0]).tolist())
    assert part.shapley_bootstrap.ci is not None
    assert part.shapley_bootstrap.ci[0] < part.shapley.mean < part.shapley_bootstrap.ci[1]
    assert "covers too little" in ours.contributions(cells(values[..., :3])).parts[0].shapley_bootstrap.reason


def test_the_shapley_interval_covers() -> None:
    rng = np.random.default_rng(3)
    held = [paired_t(ours.shapley_by_seed(cells(rng.normal(0, 1, (2, 2, 2, 5))), "b").tolist()).ci for _ in range(600)]
    assert np.mean([low <= 0 <= high for low, high in held]) == pytest.approx(0.95, abs=0.028)


def test_levels_are_chosen_out_of_a_mixed_table() -> None:
    mixed = Cells(
        (Factor("block", ("dense", "moe", "mixffn")), Factor("norm", ("layer", "rms"))),
        (0, 1),
        np.arange(12.0).reshape(3, 2, 2),
    )
    chosen = ours.two_levels(mixed, {"block": "mixffn", "norm": "rms"})
    assert chosen.values.tolist() == [[[0, 1], [2, 3]], [[8, 9], [10, 11]]]
    assert chosen.factors[0].levels == ("dense", "mixffn")
    with pytest.raises(ValueError, match=r"block needs a level out of \['moe', 'mixffn'\], got 'dense'"):
        ours.two_levels(mixed, {"block": "dense", "norm": "rms"})
    with pytest.raises(ValueError, match="factors of two levels; choose them"):
        ours.contributions(mixed)


def test_no_effect_at_all_has_no_shares_and_nonsense_is_refused() -> None:
    assert [part.share for part in ours.contributions(cells(np.ones((2, 2, 3)))).parts] == [None, None]
    with pytest.raises(ValueError, match="a path names every factor once"):
        ours.contributions(cells(np.ones((2, 2, 3))), path=("a",))
    with pytest.raises(ValueError, match="at least 2 values"):
        ours.contributions(cells(np.ones((2, 2, 1))))
    with pytest.raises(ValueError, match="finite"):
        ours.contributions(cells(np.full((2, 2, 3), math.nan)))
