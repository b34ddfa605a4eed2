"""A multiplier in what a user pays: from FLOPs to tokens and to seconds.

The baseline needs CM x C FLOPs for the arm's loss. What that takes of another resource is read from the baseline's own
rungs, on a line in logarithms between them (exact on a ladder of one size, where a FLOP always takes the same); divided
by what the arm took, it is the multiplier in that resource.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.analyse.finite import Interval
from harness.analyse.scaling import Multiplier

COUNTED: Interval = (1.0, 1.0)
"""The factor of a ratio that is exact."""


@dataclass(frozen=True)
class Resource:
    """What runs take of something: (K,) of the baseline and of the arm at each rung.

    `ratio`: 95 % intervals of the factor by which the measured ratio arm / baseline may be off, `COUNTED` where it
    was not measured.
    """

    unit: str
    baseline: Sequence[float]
    arm: Sequence[float]
    ratio: Sequence[Interval]


def in_resource(known: Sequence[Multiplier], budgets: Sequence[float], resource: Resource) -> list[Multiplier]:
    """The multipliers of the rungs in another resource; one that is not known in FLOPs is not known there."""
    return [_converted(m, k, budgets, resource) for k, m in enumerate(known)]


def _converted(m: Multiplier, k: int, budgets: Sequence[float], resource: Resource) -> Multiplier:
    if m.multiplier is None:
        return m

    def converted(multiplier: float) -> float:
        return _at(budgets, resource.baseline, multiplier * m.budget) / resource.arm[k]

    value = converted(m.multiplier)
    if m.ci95 is None:
        return m._replace(multiplier=value)
    ends = converted(m.ci95[0]), converted(m.ci95[1])
    return m._replace(multiplier=value, ci95=product_interval(value, ends, resource.ratio[k]))


def product_interval(value: float, ci: Interval, factor: Interval) -> Interval:
    """Of a positive number times an independent factor near 1, from the interval of each: the distances of the ends,
    in logarithms, add up in squares (Zou and Donner 2008, Statistics in Medicine 27:1693, MOVER).
    """
    below = math.hypot(math.log(value / ci[0]), math.log(1 / factor[0]))
    above = math.hypot(math.log(ci[1] / value), math.log(factor[1]))
    return value * math.exp(-below), value * math.exp(above)


def _at(budgets: Sequence[float], amounts: Sequence[float], budget: float) -> float:
    """What a budget takes: a line in logarithms between the rungs, prolonged beyond the last two."""
    order = np.argsort(budgets)
    x, y = np.log(np.asarray(budgets)[order]), np.log(np.asarray(amounts)[order])
    i = int(np.clip(np.searchsorted(x, math.log(budget)) - 1, 0, len(x) - 2))
    return math.exp(y[i] + (y[i + 1] - y[i]) / (x[i + 1] - x[i]) * (math.log(budget) - x[i]))
