"""What a list of timed blocks says: a median, and the ratio of two arms with a bootstrap interval. No clock here.

Block i of every arm was timed in the same pass, so two arms are compared pass by pass: what slowed the machine
down for a while slowed both, and leaves their ratio.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
"""Bootstrap resamples; the ends of a 95 % interval then rest on 50 of them each (Efron and Tibshirani 1993)."""

Interval = tuple[float, float]
Values = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Summary:
    """The median of `num_blocks` values, its 95 % bootstrap interval, and their quartiles."""

    median: float
    ci95: Interval
    quartiles: Interval
    num_blocks: int


@dataclass(frozen=True)
class LogRatio:
    """ln(rate / rate of the first arm): the median over passes, and percentile bootstrap intervals.

    `ci90` is for the two one-sided tests of equivalence: within a margin of 3 % when it lies in +-ln(1.03).
    """

    median: float
    ci95: Interval
    ci90: Interval
    num_blocks: int

    @property
    def percent(self) -> tuple[float, float, float]:
        """(median, low, high) as a change in percent, with the 95 % interval."""
        median, low, high = (100 * math.expm1(x) for x in (self.median, *self.ci95))
        return median, low, high


def summary(values: Values) -> Summary:
    """The summary of positive values, one a block."""
    array = checked(values)
    low, high = np.percentile(array, [25, 75])
    ci95, _ = bootstrap(array, lambda rows: np.median(rows, axis=-1))
    return Summary(float(np.median(array)), ci95, (float(low), float(high)), len(array))


def log_ratio(first: Values, other: Values) -> LogRatio:
    """How much faster `other` is than `first`, from their seconds for the same work, block by block."""
    a, b = checked(first), checked(other)
    if len(a) != len(b):
        raise ValueError(f"blocks are compared pass by pass, got {len(a)} and {len(b)} of them")
    differences = np.log(a / b)
    ci95, ci90 = bootstrap(differences, lambda rows: np.median(rows, axis=-1))
    return LogRatio(float(np.median(differences)), ci95, ci90, len(a))


def bootstrap(
    values: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], *, seed: int = 0
) -> tuple[Interval, Interval]:
    """Percentile intervals of 95 and 90 % of a statistic of `values` (blocks,) or (columns, blocks).

    Blocks are resampled with replacement; `statistic` takes (..., resamples, blocks) and gives (resamples,).
    """
    index = np.random.default_rng(seed).integers(0, values.shape[-1], (RESAMPLES, values.shape[-1]))
    drawn = statistic(values[..., index])
    low, low90, high90, high = (float(x) for x in np.percentile(drawn, [2.5, 5, 95, 97.5]))
    return (low, high), (low90, high90)


def checked(values: Values) -> np.ndarray:
    """The values as fp64. Raises `ValueError` unless there are at least 2 and all are positive and finite."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < 2:
        raise ValueError(f"an interval needs at least 2 blocks, got {array.size}")
    if not (np.isfinite(array) & (array > 0)).all():
        raise ValueError(f"seconds are positive and finite, got {array.min()} to {array.max()}")
    return array
