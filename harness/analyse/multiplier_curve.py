"""What lies between the rungs: the baseline's law with its interval, the multiplier over compute, and its trend.

Whole seeds are the unit everywhere, as in analyse.over_seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.analyse.finite import Interval
from harness.analyse.over_seeds import Statistic, over_seeds
from harness.analyse.scaling import Ladder, Law, Multiplier, multiplier_of

POINTS = 17
"""Of a curve from the lowest rung to the highest; more cannot be told apart in a figure. Assumption."""


NO_FLOOR = 1e-6
"""An E smaller than this share of the lowest loss lies on its bound: the optimizer's tolerance."""


@dataclass(frozen=True)
class Fitted:
    """The baseline's law over its seeds. An interval is None for fewer than 3 seeds, and of an E on its bound, 0, where
    it would have no width and mean nothing.
    """

    law: Law
    E: Interval | None
    A: Interval | None
    alpha: Interval | None
    budgets: list[float]  # of the band
    losses: list[float]
    band: list[Interval | None]
    decades: float  # that the rungs span


@dataclass(frozen=True)
class Trend:
    """How a multiplier changes along the ladder: `per_doubling` is the factor for each doubling of compute."""

    per_doubling: float
    ci95: Interval | None
    reason: str  # why there is no interval


def fitted(ladder: Ladder) -> Fitted | None:
    """The law of a ladder with intervals; None with fewer than 4 budgets."""
    if ladder.law is None:
        return None
    n, grid = len(ladder.losses), _grid(ladder.budgets)

    def of(name: str) -> Interval | None:
        return _interval(lambda rows: getattr(ladder.fit(rows), name), n)

    return Fitted(
        ladder.law,
        None if NO_FLOOR * ladder.losses.min() > ladder.law.E else of("E"),
        of("A"),
        of("alpha"),
        grid,
        [ladder.law.loss(c) for c in grid],
        [_interval(lambda rows, c=c: ladder.fit(rows).loss(c), n) for c in grid],
        math.log10(ladder.budgets.max() / ladder.budgets.min()),
    )


def multiplier_curve(ladder: Ladder, own: Ladder) -> list[Multiplier]:
    """CM(C) of the arm whose ladder is `own`, from its lowest rung to its highest.

    Its losses between rungs follow its own law, with fewer than 4 rungs a line in log C.
    """
    return [multiplier_of(ladder, lambda rows, c=c: own.loss(rows, c), c) for c in _grid(own.budgets)]


def multiplier_trend(ladder: Ladder, arm: np.ndarray, known: Sequence[Multiplier]) -> Trend | None:
    """The slope of ln CM over ln C by least squares over the rungs that have a multiplier.

    A gap in loss narrows along every curve that flattens; only a multiplier that falls says that a gain fades
    (Tay et al. 2022, arXiv:2207.10551, on rankings that change with scale).

    Args:
        arm: (seeds, K) losses.
        known: its multipliers, one a rung. None where fewer than 2 have a number.
    """
    rungs = [k for k, m in enumerate(known) if m.multiplier is not None]
    if len(rungs) < 2:
        return None
    spent = np.array([known[k].budget for k in rungs])
    x = np.log(spent) - np.log(spent).mean()

    def slope(rows: np.ndarray) -> float | None:
        losses = arm[rows].mean(axis=0)
        needed = [ladder.needed(rows, float(losses[k]), c) for k, c in zip(rungs, spent, strict=True)]
        if any(budget is None or budget <= 0 for budget in needed):
            return None
        return float(x @ np.log(np.array(needed, dtype=float) / spent) / (x @ x))

    found = over_seeds(slope, len(arm))
    ci = None if found.ci is None else (_doubled(found.ci[0]), _doubled(found.ci[1]))
    return Trend(_doubled(found.estimate), ci, found.reason)


def _doubled(slope: float) -> float:
    return 2.0 ** min(max(slope, -1000.0), 1000.0)


def _interval(statistic: Statistic, n: int) -> Interval | None:
    return over_seeds(statistic, n).ci


def _grid(budgets: np.ndarray) -> list[float]:
    return [float(c) for c in np.geomspace(budgets.min(), budgets.max(), POINTS)]
