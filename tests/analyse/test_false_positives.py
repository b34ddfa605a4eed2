"""A/A splits: counted by brute force, and known procedures found at their level."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from harness.analyse import false_positives as ours
from harness.analyse.finite import binomial_interval
from harness.analyse.statistics import paired_t


def differs(differences: np.ndarray) -> bool:
    return paired_t(differences.tolist()).p <= 0.05


@pytest.mark.parametrize(("runs", "pairs", "count"), [(2, 1, 1), (4, 2, 6), (5, 2, 30), (8, 4, 840)])
def test_every_split_is_made_once(runs: int, pairs: int, count: int) -> None:
    splits = [frozenset(zip(*split, strict=True)) for split in ours.all_splits(runs, pairs)]
    mirrored = [frozenset((b, a) for a, b in split) for split in splits]
    assert ours.number_of_splits(runs, pairs) == count == len(splits) == len(set(splits))
    assert not set(splits) & set(mirrored)
    ordered = itertools.permutations(range(runs), 2 * pairs)
    assert len({frozenset(zip(o[:pairs], o[pairs:], strict=True)) for o in ordered} if runs < 6 else splits) in (
        count,
        2 * count,
    )


def test_a_procedure_at_5_percent_speaks_in_5_percent() -> None:
    rng = np.random.default_rng(0)
    rates = [ours.false_positive_rate(rng.normal(1.6, 0.01, 8).tolist(), differs, 4, most=60).rate for _ in range(60)]
    assert np.mean(rates) == pytest.approx(0.05, abs=0.02)


def test_a_procedure_that_ignores_its_noise_is_caught() -> None:
    values = np.random.default_rng(1).normal(1.6, 0.01, 8).tolist()
    found = ours.false_positive_rate(values, lambda d: bool(abs(d.mean()) > 0.002), 4)
    assert found.ci95[0] > 0.3
    assert found.exhaustive
    assert found.splits == 840
    assert found.ci95 == binomial_interval(found.positives, 840)


def test_splits_are_not_independent_studies() -> None:
    found = ours.false_positive_rate(np.random.default_rng(2).normal(0, 1, 8).tolist(), differs, 4)
    assert found.disjoint == 1
    assert found.disjoint_ci95[1] - found.disjoint_ci95[0] > 0.9, "one study says next to nothing"
    many = ours.false_positive_rate(np.random.default_rng(2).normal(0, 1, 24).tolist(), differs, 4, most=200)
    assert many.disjoint == 3


def test_random_splits_repeat_and_agree_with_all() -> None:
    values = np.random.default_rng(3).standard_t(3, 8).tolist()
    verdict = lambda d: bool(abs(d.mean()) > 0.5)  # noqa: E731
    every = ours.false_positive_rate(values, verdict, 4)
    drawn = ours.false_positive_rate(values, verdict, 4, most=700)
    assert not drawn.exhaustive
    assert drawn.rate == pytest.approx(every.rate, abs=3 * math.sqrt(0.25 / 700))
    assert drawn == ours.false_positive_rate(values, verdict, 4, most=700)
    assert drawn != ours.false_positive_rate(values, verdict, 4, most=700, seed=1)


def test_too_few_runs_and_nonsense() -> None:
    with pytest.raises(ValueError, match="an A/A split of 4 pairs needs 8 runs, got 7"):
        ours.false_positive_rate([0.0] * 7, differs, 4)
    with pytest.raises(ValueError, match="needs 0 runs"):
        ours.false_positive_rate([0.0] * 7, differs, 0)
    with pytest.raises(ValueError, match="finite"):
        ours.false_positive_rate([math.nan] * 8, differs, 4)
    assert ours.false_positive_rate([0.5] * 8, differs, 4).rate == 0
