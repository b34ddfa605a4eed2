"""How the loss depends on the learning rate: which rates are still to be tried, the optimum, the width.

Rates lie on a grid of half octaves around a centre: `half` k is center * 2^(k/2). Definitions 3.3: octaves -3..+3, the
grid widened where an optimum lies on its edge, then the two half octaves beside the best; a quadratic in log rate
through the best points gives the optimum.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from harness.records.tuning import TuningTrial

GRID = 6
"""Half octaves on either side of the centre: definitions 3.3."""

WIDEST = 12
"""Half octaves on either side beyond which the grid is not widened: a factor of 64. Assumption."""

FIT_POINTS = 5
"""Points of the quadratic (definitions 3.3: the 3 to 5 best): with half octaves, two octaves around the best."""

Edge = Literal["low", "high"]


@dataclass(frozen=True)
class Point:
    """An arm at one rate. `losses` by seed, of the runs that finished; `broken` did not. No mean unless all did."""

    half: int
    lr: float
    losses: Mapping[int, float]
    broken: int

    @property
    def mean(self) -> float | None:
        return math.fsum(self.losses.values()) / len(self.losses) if self.losses and not self.broken else None


@dataclass(frozen=True)
class Curve:
    """An arm's points by rate."""

    arm: str
    points: Sequence[Point]

    @property
    def finite(self) -> list[Point]:
        return [point for point in self.points if point.mean is not None]

    @property
    def best(self) -> Point | None:
        """The lowest mean loss; the lower rate of two alike. None where every rate diverged."""
        return min(self.finite, key=lambda point: (point.mean, point.half), default=None)

    @property
    def edge(self) -> Edge | None:
        """The end of the tried rates on which the best one lies. Where every rate diverged, the low one."""
        best = self.best
        if best is None or best is self.points[0]:
            return "low"
        return "high" if best is self.points[-1] else None


def rate_of(center: float, half: int) -> float:
    """The rate `half` half octaves from the centre."""
    return center * 2.0 ** (half / 2)


def curve(trials: Iterable[TuningTrial], arm: str, center: float) -> Curve:
    """The curve of an arm's trials."""
    found: dict[int, list[TuningTrial]] = {}
    for trial in trials:
        if trial.arm == arm:
            found.setdefault(round(2 * math.log2(trial.lr / center)), []).append(trial)
    return Curve(arm, [_point(half, found[half]) for half in sorted(found)])


def _point(half: int, trials: Sequence[TuningTrial]) -> Point:
    losses = {t.seed: t.loss for t in trials if t.loss is not None and math.isfinite(t.loss)}
    return Point(half, trials[0].lr, losses, len(trials) - len(losses))


def due(curves: Sequence[Curve]) -> dict[str, list[int]]:
    """The half octaves that each arm has still to try, empty when the search is done. All arms get equally many.

    The octaves first, the same for all arms, one more on either side for all where the best of one lies on that edge;
    then for each arm the half octaves beside its best octave.
    """
    octaves = {c.arm: Curve(c.arm, [p for p in c.points if p.half % 2 == 0]) for c in curves}
    tried = [p.half for c in octaves.values() for p in c.points]
    low, high = min([-GRID, *tried]), max([GRID, *tried])
    missing = {arm: _missing(c, range(low, high + 1, 2)) for arm, c in octaves.items()}
    if any(missing.values()):
        return missing
    edges = {c.edge for c in octaves.values()}
    wider = [low - 2] * ("low" in edges and low > -WIDEST) + [high + 2] * ("high" in edges and high < WIDEST)
    if wider:
        return dict.fromkeys(octaves, wider)
    refined = {c.arm: _missing(c, _beside(octaves[c.arm])) for c in curves}
    return refined if any(refined.values()) else {}


def _missing(c: Curve, halves: Iterable[int]) -> list[int]:
    return [half for half in halves if half not in {point.half for point in c.points}]


def _beside(octaves: Curve) -> tuple[int, int]:
    middle = octaves.best or octaves.points[0]
    return middle.half - 1, middle.half + 1


class Optimum(NamedTuple):
    """A quadratic's vertex in octaves from the centre, its 95 % interval (None: not bounded, or no spread to judge by),
    and its second derivative in nats per byte per octave squared.
    """

    octaves: float
    ci95: tuple[float, float] | None
    curvature: float


def quadratic(octaves: ArrayLike, losses: ArrayLike, confidence: float = 0.95) -> Optimum | None:
    """The vertex of y = a_seed + b x + c x^2 by least squares; None where the parabola does not open upwards.

    The interval of -b / 2c is Fieller's (1954, J. R. Stat. Soc. B 16:175): all x at which the slope b + 2 c x is not
    distinguished from zero by Student's t. It is bounded only where the curvature is distinguished from zero itself.

    Args:
        octaves: (points,)
        losses: (seeds, points); a seed's level is its own.
    """
    x, y = np.asarray(octaves, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if len(x) < 3 or y.ndim != 2 or y.shape[1] != len(x):
        raise ValueError(f"a quadratic needs 3 points or more and a loss of each seed at each, got {y.shape}")
    shift = x.mean()  # for the numbers' sake
    u = x - shift
    columns = np.stack([u - u.mean(), u**2 - (u**2).mean()], axis=1)  # the seeds' levels taken out
    residual = y - y.mean(axis=1, keepdims=True)
    (slope, square), *_ = np.linalg.lstsq(columns, residual.mean(axis=0), rcond=None)
    if square <= 0:
        return None
    spread = residual - columns @ np.array([slope, square])
    freedom = y.size - len(y) - 2
    vertex = shift - slope / (2 * square)
    if freedom < 1:
        return Optimum(float(vertex), None, float(2 * square))
    covariance = np.linalg.inv(columns.T @ columns) / len(y) * float((spread**2).sum()) / freedom
    t2 = float(stats.t.isf((1 - confidence) / 2, freedom)) ** 2
    roots = _fieller(float(slope), float(square), covariance, t2)
    ci = None if roots is None else (float(shift + roots[0]), float(shift + roots[1]))
    return Optimum(float(vertex), ci, float(2 * square))


def _fieller(slope: float, square: float, covariance: np.ndarray, t2: float) -> tuple[float, float] | None:
    """{u : (slope + 2 square u)^2 <= t2 Var(slope + 2 square u)}, None where it is not an interval."""
    a = 4 * square**2 - 4 * t2 * covariance[1, 1]
    b = 4 * slope * square - 4 * t2 * covariance[0, 1]
    c = slope**2 - t2 * covariance[0, 0]
    inside = b**2 - 4 * a * c
    if a <= 0 or inside < 0:
        return None
    root = math.sqrt(inside)
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def optimum(c: Curve) -> Optimum | None:
    """The quadratic through the points around the best; None for fewer than 3, or where it does not open upwards."""
    best = c.best
    if best is None:
        return None
    window = sorted(c.finite, key=lambda point: (abs(point.half - best.half), point.mean))[:FIT_POINTS]
    seeds = sorted(set.intersection(*(set(point.losses) for point in window)))
    if len(window) < 3 or not seeds:
        return None
    return quadratic([p.half / 2 for p in window], [[p.losses[seed] for p in window] for seed in seeds])


def best_rate(c: Curve, center: float) -> float | None:
    """The rate that an arm is trained with once tuned, to 3 digits: the quadratic's vertex where it lies among the
    tried rates and within an octave of the best one, else the best one; None where every rate diverged.
    """
    best, found = c.best, optimum(c)
    if best is None:
        return None
    if found is not None and c.edge is None and abs(found.octaves - best.half / 2) <= 1:
        return float(f"{center * 2.0**found.octaves:.3g}")
    return float(f"{best.lr:.3g}")


class Width(NamedTuple):
    """Octaves of rates whose loss is within a margin of the best; `open` where the curve ends before it rises so far,
    so that the true width is larger.
    """

    octaves: float
    open: bool


def width(c: Curve, margin: float) -> Width | None:
    """The width of a curve, its points joined by straight lines in log rate; a rate that diverged bounds it.

    None where every rate diverged.
    """
    best = c.best
    if best is None or best.mean is None:
        return None
    at = [point.half for point in c.points].index(best.half)
    low = _reach(c.points[at::-1], best.mean + margin)
    high = _reach(c.points[at:], best.mean + margin)
    return Width(low.octaves + high.octaves, low.open or high.open)


def _reach(points: Sequence[Point], level: float) -> Width:
    """From the first point outwards to where the line crosses the level."""
    first = points[0]
    for before, after in itertools.pairwise(points):
        assert before.mean is not None
        if after.mean is None:  # the crossing lies somewhere before it: what is known to be within
            return Width(abs(before.half - first.half) / 2, open=False)
        if after.mean > level:
            share = (level - before.mean) / (after.mean - before.mean)
            return Width((abs(before.half - first.half) + share * abs(after.half - before.half)) / 2, open=False)
    return Width(abs(points[-1].half - first.half) / 2, open=True)
