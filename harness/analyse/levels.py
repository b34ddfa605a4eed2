"""A number of an arm over its seeds: the mean and the interval around it, one number or along a line."""

from __future__ import annotations

import statistics as stdlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.analyse.statistics import mean, paired_t

REACH = 1.0
"""How far a band may stretch an axis beyond the lines in it, in lengths of what the lines span. Assumption: with two
seeds Student's t is 12.7 standard errors, and the lines would be flat between such bands."""


@dataclass(frozen=True)
class Level:
    """A mean over `n` seeds with its 95 % interval, None for one seed."""

    mean: float
    ci95: tuple[float, float] | None
    n: int


@dataclass(frozen=True)
class Band:
    """A line: a level at each x, from the left."""

    xs: tuple[float, ...]
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class ArmBand:
    """A line of an arm. `place` is the arm's in the study, so that it has one colour in every figure."""

    arm: str
    place: int
    is_baseline: bool
    band: Band


def level(values: Sequence[float]) -> Level | None:
    """The mean with Student's interval over seeds, t(n-1) s / sqrt(n); None of nothing."""
    average = mean(values)
    if average is None:
        return None
    if len(values) < 2:
        return Level(average, None, 1)
    test = paired_t(values)  # of one sample: a paired test is that of the differences
    return Level(test.mean, test.ci, len(values))


def band(points: Mapping[float, Sequence[float]]) -> Band:
    """The levels of what was found at each x; an x without any value is left out."""
    found = [(x, level(points[x])) for x in sorted(points)]
    kept = [(x, at) for x, at in found if at is not None]
    return Band(tuple(x for x, _ in kept), tuple(at for _, at in kept))


def limits(bands: Sequence[Band]) -> tuple[float, float] | None:
    """An axis that holds every line whole, and as much of the bands as leaves the lines to be seen."""
    levels = [at for one in bands for at in one.levels]
    if not levels:
        return None
    low, high = min(at.mean for at in levels), max(at.mean for at in levels)
    known = [at.ci95 for at in levels if at.ci95 is not None]
    width = stdlib.median([top - bottom for bottom, top in known]) if known else 0.0
    stretch = REACH * max(high - low, width)  # one flat line: as far as its own band
    low = max(low - stretch, min([low, *(bottom for bottom, _ in known)]))
    high = min(high + stretch, max([high, *(top for _, top in known)]))
    pad = 0.04 * (high - low) or 0.04 * max(1.0, abs(high))
    return low - pad, high + pad
