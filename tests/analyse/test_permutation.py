"""The sign-flip test against scipy's permutation test and the table of definitions 3.5; its level by simulation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analyse import permutation as ours

stats: Any = scipy.stats  # its own annotations do not know the results' fields

quick = settings(deadline=None, max_examples=30)


@quick
@given(st.lists(st.integers(-9, 9), min_size=6, max_size=9))
def test_it_is_scipys_test_of_paired_samples_ties_and_zeros_included(differences: list[int]) -> None:
    values = np.array(differences, dtype=float)
    reference = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf)
    found = ours.sign_flip(values.tolist())
    assert found.p == pytest.approx(reference.pvalue, abs=1e-12)
    assert found.exact


@pytest.mark.parametrize(
    ("n", "p"), [(3, 0.25), (4, 0.125), (5, 0.0625), (6, 0.031), (8, 0.0078), (10, 0.0020), (16, 3e-5)]
)
def test_the_smallest_p_is_the_table_of_definitions(n: int, p: float) -> None:
    assert ours.smallest_p(n) == pytest.approx(p, rel=0.03)
    found = ours.sign_flip(np.linspace(1, 2, n).tolist(), alpha=0.9)
    assert found.p == ours.smallest_p(n), "all on one side is the most extreme that can be"


def test_it_is_refused_where_no_outcome_could_pass() -> None:
    found = ours.sign_flip([1.0, 1.1, 0.9, 1.2, 1.0])
    assert found.p is None
    assert found.smallest == 0.0625
    assert "5 seeds give a sign-flip p of at least 0.062, above the level 0.05" in found.reason
    assert "run 6 seeds" in found.reason
    eight = [1.0, 1.1, 0.9, 1.2, 1.0, 1.3, 0.8, 1.0]
    assert ours.sign_flip(eight, tests=6).p == 2 / 256
    assert ours.sign_flip(eight, tests=7).p is None, "definitions 3.5: 8 seeds serve 6 tests"


@pytest.mark.parametrize(("tests", "seeds"), [(1, 6), (6, 8), (25, 10), (26, 11)])
def test_the_seeds_a_family_needs(tests: int, seeds: int) -> None:
    assert ours.seeds_to_reach(0.05, tests) == seeds
    assert ours.smallest_p(seeds) <= 0.05 / tests < ours.smallest_p(seeds - 1)


def test_the_level_holds_for_a_distribution_with_heavy_tails() -> None:
    draws = np.random.default_rng(3).standard_t(1.5, (1500, 7))
    wrong = [found.p is not None and found.p <= 0.05 for found in map(ours.sign_flip, draws.tolist())]
    assert np.mean(wrong) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / len(wrong))
    assert np.mean(wrong) >= 0.03, "3 of 64 patterns fit below 0.05: 0.047 is what it can spend"


def test_many_seeds_are_drawn_and_agree_with_all_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(0.35, 1, 14).tolist()
    exact = ours.sign_flip(values)
    monkeypatch.setattr(ours, "MOST_EXACT_SEEDS", 10)
    drawn = ours.sign_flip(values)
    assert exact.exact
    assert not drawn.exact
    assert drawn.p == pytest.approx(exact.p, abs=0.004)
    assert drawn == ours.sign_flip(values), "the same seed gives the same bits"
    assert drawn.p != ours.sign_flip(values, seed=1).p
    far = ours.sign_flip([5.0] * 20 + [5.1] * 10)
    assert far.p == 1 / (1 + ours.DRAWS), "a drawn p is never 0"


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_the_patterns_are_all_up_to_a_flip_of_everything(n: int) -> None:
    patterns = ours.sign_patterns(n)
    assert patterns.shape == (2 ** (n - 1), n)
    assert len({tuple(row) for row in patterns} | {tuple(-row) for row in patterns}) == 2**n


def test_no_spread_and_nonsense() -> None:
    assert ours.sign_flip([0.0] * 6).p == 1
    assert ours.sign_flip([0.1] * 6).p == 2 / 64
    with pytest.raises(ValueError, match="finite values"):
        ours.sign_flip([1.0] * 6 + [math.nan])
    with pytest.raises(ValueError, match="at least 1 rows"):
        ours.sign_flip([])
    with pytest.raises(ValueError, match="at least 1 seed, got 0"):
        ours.smallest_p(0)


def test_blocks_of_random_patterns_are_the_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the size of a block: otherwise a p-value would depend on it."""
    whole = ours.sign_patterns(21, draws=1000, seed=3)
    monkeypatch.setattr(ours, "BLOCK", 21 * 33)
    blocks = list(ours.sign_blocks(21, draws=1000, seed=3))
    assert max(len(block) for block in blocks) == 33
    np.testing.assert_array_equal(np.concatenate(blocks), whole)
