"""How often does the whole procedure see a difference where there is none? A/A: the baseline against itself.

Runs of the baseline on many seeds are split into two arms of pairs, in all ways or in many, and each split is given to
the procedure as if it were a study. A procedure at 5 % should speak in about 5 % of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from harness.analyse.finite import Interval, binomial_interval, finite

MOST_SPLITS = 20_000  # beyond, splits are drawn at random; the standard error of a rate of 0.05 is then 0.0015

Split = tuple[tuple[int, ...], tuple[int, ...]]
"""Indices of the baseline's runs and of the arm's, pair by pair."""

Verdict = Callable[[np.ndarray], bool]
"""From differences, one a pair, to whether the procedure sees a difference."""


class FalsePositives(NamedTuple):
    """`ci95` is exact for splits drawn at random from these runs; it says how well the rate over these runs is known.

    It is no interval for other runs: splits share runs, and only `disjoint` of them can be had without. `disjoint_ci95`
    is what so many independent studies would leave open, the honest width for the procedure itself.
    """

    positives: int
    splits: int
    rate: float
    ci95: Interval
    exhaustive: bool  # every split was tried
    disjoint: int
    disjoint_ci95: Interval


def false_positive_rate(
    values: Sequence[float], verdict: Verdict, pairs: int, *, most: int = MOST_SPLITS, seed: int = 0
) -> FalsePositives:
    """The share of A/A splits in which `verdict` sees a difference.

    Args:
        values: the score of one arm, one a seed, at least 2 x `pairs`.
        pairs: of seeds in a split, as many as the studies that the procedure is used for.

    Raises:
        ValueError: there are too few runs for one split.
    """
    array = finite(values, "an A/A study", least=1)
    if pairs < 1 or array.size < 2 * pairs:
        raise ValueError(f"an A/A split of {pairs} pairs needs {2 * pairs} runs, got {array.size}; run more seeds")
    chosen, exhaustive = splits(array.size, pairs, most, seed)
    seen = [bool(verdict(array[list(after)] - array[list(before)])) for before, after in chosen]
    positives, disjoint = sum(seen), array.size // (2 * pairs)
    rate = positives / len(seen)
    alone = binomial_interval(round(rate * disjoint), disjoint)
    over_splits = binomial_interval(positives, len(seen))
    return FalsePositives(positives, len(seen), rate, over_splits, exhaustive, disjoint, alone)


def splits(runs: int, pairs: int, most: int, seed: int) -> tuple[Iterator[Split], bool]:
    """Every split once and True, or `most` of them drawn at random and False where there are more."""
    if number_of_splits(runs, pairs) <= most:
        return all_splits(runs, pairs), True
    return _random_splits(runs, pairs, most, seed), False


def number_of_splits(runs: int, pairs: int) -> int:
    """Ways to make `pairs` pairs of different runs and to name one of each the arm, but for naming all the other way:
    runs! / ((runs - 2 pairs)! pairs! 2^pairs) · 2^(pairs - 1). A two-sided verdict is the same both ways.
    """
    return math.perm(runs, 2 * pairs) // (2 * math.factorial(pairs))


def all_splits(runs: int, pairs: int) -> Iterator[Split]:
    """Each split once: the indices of the baseline's runs and of the arm's."""
    for chosen in itertools.combinations(range(runs), 2 * pairs):
        for matched in _matchings(chosen):
            for flips in itertools.product((False, True), repeat=pairs - 1):
                ordered = [pair[::-1] if flip else pair for pair, flip in zip(matched, (False, *flips), strict=True)]
                yield tuple(a for a, _ in ordered), tuple(b for _, b in ordered)


def _matchings(items: tuple[int, ...]) -> Iterator[tuple[tuple[int, int], ...]]:
    if not items:
        yield ()
        return
    first, rest = items[0], items[1:]
    for i, other in enumerate(rest):
        for others in _matchings(rest[:i] + rest[i + 1 :]):
            yield ((first, other), *others)


def _random_splits(runs: int, pairs: int, count: int, seed: int) -> Iterator[Split]:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        order = rng.permutation(runs)[: 2 * pairs].tolist()
        yield tuple(order[:pairs]), tuple(order[pairs:])
