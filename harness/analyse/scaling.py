"""Does it hold as I scale? The baseline's loss over budgets, what a variant is worth in compute, and whether slopes and
ranks stay.

L(C) = E + A C^-α is fitted to runs that were each annealed at their own budget C in FLOPs, never to intermediate
checkpoints. The compute multiplier CM(C) = L_b⁻¹(L_v(C)) / C is the factor of compute that the baseline needs to reach
the variant's loss: above 1 the variant saves compute. Hoffmann et al. 2022 (arXiv:2203.15556), approach 3, for the
fitting: Huber's loss with δ = 1e-3 on the logarithm of the loss, and a grid of starts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
from scipy import optimize, stats

from harness.analyse.bootstrap import BootstrapInterval
from harness.analyse.finite import Interval, finite, squares
from harness.analyse.over_seeds import over_seeds
from harness.analyse.statistics import PairedT, paired_t

FEWEST_BUDGETS = 4  # three parameters and one budget to contradict them
REACH = 2.0  # of the ladder, on either side; definitions, section 3.7: beyond, a fit says what its form says
HUBER = 1e-3  # in log loss; Hoffmann et al., appendix D.2
EXPONENTS = (0.03, 0.06, 0.1, 0.2, 0.35, 0.5, 0.8, 1.2)  # starts
FLOORS = (0.0, 0.3, 0.6, 0.8, 0.9, 0.95, 0.99)  # starts of E, as shares of the lowest loss
MOST_STARTS = 4  # of the grid, the best, are polished
MOST_FITS = 4096  # of resamples kept by a ladder: some MB


@dataclass(frozen=True)
class Law:
    """L(C) = E + A (C/unit)^-α between `lowest` and `highest`, in FLOPs; `residual`: the largest |log L - log fit|."""

    E: float
    A: float
    alpha: float
    unit: float
    lowest: float
    highest: float
    residual: float

    def loss(self, budget: float) -> float:
        return self.E + self.A * (budget / self.unit) ** -self.alpha

    def budget(self, loss: float) -> float | None:
        """The budget of a loss; None at or below the floor E."""
        return None if loss <= self.E else self.unit * ((loss - self.E) / self.A) ** (-1 / self.alpha)


class Multiplier(NamedTuple):
    """CM at a budget; None with the `reason` where the ladder does not say. `method`: "law" or "local", and the
    interval's.
    """

    budget: float
    multiplier: float | None
    ci95: Interval | None
    method: str
    reason: str = ""


class SlopeDifference(NamedTuple):
    """How much the difference of two arms changes with each e-fold of compute, in loss."""

    slope: float
    ci95: Interval  # seeds as blocks, residuals pooled over budgets
    p: float
    df: int
    by_seed: PairedT | None  # over the seeds' own slopes; None for 1 seed


class RankStability(NamedTuple):
    """Do arms rank alike at two budgets? None where fewer than 3 arms, or one rung full of ties, say nothing."""

    kendall: float | None
    spearman: float | None
    p: float | None  # of Kendall's tau, two-sided, exact without ties
    arms: int
    smallest_p: float  # 2 / arms!, what perfect agreement of so few gives


def fit_law(budgets: Sequence[float], losses: Sequence[float], start: Law | None = None) -> Law:
    """The law through (budget, loss) points; several seeds of a budget are several points, or their mean.

    Args:
        start: a fit to begin from instead of the grid, for resamples of the same points.

    Raises:
        ValueError: fewer than 4 different budgets, or a budget or loss that is not positive.
    """
    c, values = finite(budgets, "a scaling law"), finite(losses, "a scaling law")
    if c.shape != values.shape or (c <= 0).any() or (values <= 0).any():
        raise ValueError("a scaling law needs one positive loss for every positive budget")
    if len(np.unique(c)) < FEWEST_BUDGETS:
        raise ValueError(
            f"a scaling law needs at least {FEWEST_BUDGETS} budgets, got {len(np.unique(c))}; add rungs or read locally"
        )
    unit = float(np.exp(np.log(c).mean()))
    x, lowest = np.log(c / unit), float(values.min())

    def residuals(parameters: np.ndarray) -> np.ndarray:
        floor, log_a, alpha = parameters
        return np.log(floor + np.exp(log_a - alpha * x)) - np.log(values)

    def slopes(parameters: np.ndarray) -> np.ndarray:
        floor, log_a, alpha = parameters
        above = np.exp(log_a - alpha * x)
        return np.stack([np.ones_like(x), above, -x * above], axis=1) / (floor + above)[:, None]

    starts = [[start.E, math.log(start.A), start.alpha]] if start else _starts(x, values)
    bounds = ([0.0, -np.inf, 1e-4], [lowest * (1 - 1e-6), np.inf, 5.0])
    fits = [
        optimize.least_squares(
            residuals,
            np.clip(s, bounds[0], bounds[1]),
            cast(Any, slopes),  # scipy's types know the names of approximations alone
            bounds=bounds,
            method="dogbox",  # the costs of "trf" in a third of its time, measured on ladders of 4
            loss="huber",
            f_scale=HUBER,
        )
        for s in starts
    ]
    best = min(fits, key=lambda fit: fit.cost)
    floor, log_a, alpha = (float(value) for value in best.x)
    worst = float(np.abs(residuals(best.x)).max())
    return Law(floor, math.exp(log_a), alpha, unit, float(c.min()), float(c.max()), worst)


def _starts(x: np.ndarray, values: np.ndarray) -> list[list[float]]:
    grid = []
    for share in FLOORS:
        floor = share * float(values.min())
        for alpha in EXPONENTS:
            log_a = float(np.mean(np.log(values - floor) + alpha * x))
            off = np.log(floor + np.exp(log_a - alpha * x)) - np.log(values)
            grid.append((float(np.abs(off).sum()), [floor, log_a, alpha]))
    return [start for _, start in sorted(grid)[:MOST_STARTS]]


def local_budget(budgets: Sequence[float], losses: Sequence[float], loss: float) -> float | None:
    """The budget at which the ladder has `loss`: linear in log C between the two rungs around it, no floor E.

    Outside the ladder the nearest two rungs are prolonged. None where those rungs do not fall with compute.
    """
    order = np.argsort(budgets)
    x, y = np.log(np.asarray(budgets, dtype=float))[order], np.asarray(losses, dtype=float)[order]
    i = next((i for i in range(len(x) - 1) if y[i] >= loss >= y[i + 1]), 0 if loss > y[0] else len(x) - 2)
    if y[i] <= y[i + 1]:
        return None
    log_budget = x[i] + (y[i] - loss) / (y[i] - y[i + 1]) * (x[i + 1] - x[i])
    return math.exp(log_budget) if log_budget < 700 else None  # e^709 is the largest float


class Ladder:
    """The baseline's losses (seeds, K) over budgets (K,), and the budget that it needs for a loss by any of its seeds.

    From 4 budgets on through the fitted law, with fewer by local interpolation. Fits of resamples are kept, since
    every rung asks for the same ones.
    """

    def __init__(self, budgets: Sequence[float], baseline: np.ndarray) -> None:
        self.budgets = finite(budgets, "a compute multiplier")
        self.losses = finite(baseline, "a compute multiplier", ndim=2, least=1)
        if self.losses.shape[1] != self.budgets.size or len(np.unique(self.budgets)) != self.budgets.size:
            raise ValueError(
                f"a compute multiplier needs (seeds, {self.budgets.size}) losses at different budgets, "
                f"got {self.losses.shape}"
            )
        many = self.budgets.size >= FEWEST_BUDGETS
        self.law = fit_law(self.budgets.tolist(), self.losses.mean(axis=0).tolist()) if many else None
        self._fits: dict[bytes, Law] = {}

    @property
    def method(self) -> str:
        return "law" if self.law else "local"

    def fit(self, rows: np.ndarray) -> Law:
        """The law of some seeds."""
        assert self.law is not None
        if len(self._fits) > MOST_FITS:
            self._fits.clear()
        key = np.sort(rows).tobytes()
        if key not in self._fits:
            self._fits[key] = fit_law(self.budgets.tolist(), self.losses[rows].mean(axis=0).tolist(), self.law)
        return self._fits[key]

    def loss(self, rows: np.ndarray, budget: float) -> float:
        """The measured mean of those seeds at a rung; between two, the law and what they are off it, on a line."""
        means = self.losses[rows].mean(axis=0)
        return self.fit(rows).loss(budget) + self._off(rows, budget) if self.law else self._line(means, budget)

    def needed(self, rows: np.ndarray, loss: float, budget: float) -> float | None:
        """The budget that has `loss`, to be compared with `budget`; None where there is none.

        By what the baseline is off its law at `budget`, a loss measured there is off too: seeds and data are the same.
        So an arm with the baseline's losses is worth 1 whatever the law misses, and what pairing gains is kept.
        """
        if self.law:
            return self.fit(rows).budget(loss - self._off(rows, budget))
        return local_budget(self.budgets.tolist(), self.losses[rows].mean(axis=0).tolist(), loss)

    def _off(self, rows: np.ndarray, budget: float) -> float:
        law = self.fit(rows)
        return self._line(self.losses[rows].mean(axis=0) - [law.loss(c) for c in self.budgets], budget)

    def _line(self, values: np.ndarray, budget: float) -> float:
        """At a budget, of values at the rungs: on a line in log C, level beyond the ends."""
        order = np.argsort(self.budgets)
        return float(np.interp(math.log(budget), np.log(self.budgets[order]), values[order]))


def multipliers(
    budgets: Sequence[float],
    baseline: np.ndarray,
    arm: np.ndarray,
    confidence: float = 0.95,
    spent: Sequence[float] | None = None,
) -> list[Multiplier]:
    """CM of an arm at each budget of the ladder, with an interval over whole seeds (of ln CM, exponentiated).

    Refused beyond twice the ladder.

    Args:
        budgets: (K,) FLOPs; baseline, arm: (seeds, K) losses, the same seeds.
        spent: (K,) FLOPs of the arm, where they are not the baseline's.
    """
    return multipliers_on(Ladder(budgets, baseline), arm, confidence, spent)


def multipliers_on(
    ladder: Ladder, arm: np.ndarray, confidence: float = 0.95, spent: Sequence[float] | None = None
) -> list[Multiplier]:
    """`multipliers` against a ladder that is there already, with the fits it has made."""
    after = finite(arm, "a compute multiplier", ndim=2, least=1)
    own = ladder.budgets if spent is None else finite(spent, "a compute multiplier")
    if after.shape != ladder.losses.shape or own.shape != ladder.budgets.shape:
        raise ValueError(
            f"a compute multiplier needs (seeds, {ladder.budgets.size}) losses of both arms, got "
            f"{ladder.losses.shape} and {after.shape}"
        )
    return [
        multiplier_of(ladder, lambda rows, k=k: float(after[rows, k].mean()), float(budget), confidence)
        for k, budget in enumerate(own)
    ]


def multiplier_of(
    ladder: Ladder, loss_of: Callable[[np.ndarray], float], budget: float, confidence: float = 0.95
) -> Multiplier:
    """CM of an arm that has the loss `loss_of` (from rows of seeds) for `budget` FLOPs."""
    method, (low, high) = ladder.method, (float(ladder.budgets.min()), float(ladder.budgets.max()))

    def log_multiplier(rows: np.ndarray) -> float | None:
        needed = ladder.needed(rows, loss_of(rows), budget)
        return None if needed is None or needed <= 0 else math.log(needed / budget)

    everyone = np.arange(len(ladder.losses))
    estimate = log_multiplier(everyone)
    if estimate is None:
        reason = "the baseline's curve never reaches the arm's loss"
        return Multiplier(budget, None, None, method, f"{reason}; extend the ladder")
    needed = budget * math.exp(estimate)
    if not low / REACH <= needed <= high * REACH:
        reason = f"the baseline would need {needed:.3g} FLOPs, beyond {REACH:g} times the ladder"
        return Multiplier(budget, None, None, method, f"{reason} ({low:.3g} to {high:.3g}); extend the ladder")
    interval: BootstrapInterval = over_seeds(log_multiplier, len(everyone), confidence)
    if interval.ci is None:
        return Multiplier(budget, math.exp(estimate), None, f"{method}, {interval.method}", interval.reason)
    ci = math.exp(max(-700.0, interval.ci[0])), math.exp(min(700.0, interval.ci[1]))
    return Multiplier(budget, math.exp(estimate), ci, f"{method}, {interval.method}")


def slope_difference(
    budgets: Sequence[float], baseline: np.ndarray, arm: np.ndarray, confidence: float = 0.95
) -> SlopeDifference:
    """Arm x log C: the slope of the paired difference over ln C, seeds as blocks, by least squares.

    The same as the interaction in a model with a level for every seed x arm and every seed x budget. Different slopes
    mean that the multiplier depends on C (Tay et al. 2022, arXiv:2207.10551).

    Args:
        budgets: (K,) FLOPs, at least 2; baseline, arm: (seeds, K). Together they must leave a degree of freedom.
    """
    x = np.log(finite(budgets, "a slope"))
    differences = finite(arm, "a slope", ndim=2, least=1) - finite(baseline, "a slope", ndim=2, least=1)
    n, k = differences.shape
    df = n * (k - 1) - 1
    if k != x.size or np.ptp(x) == 0 or df < 1:
        raise ValueError(f"a slope needs (seeds, {x.size}) losses at 2 budgets or more and a spare one, got ({n}, {k})")
    centred = x - x.mean()
    by_seed = differences @ centred / (centred @ centred)
    slope = float(by_seed.mean())
    residuals = differences - differences.mean(axis=1, keepdims=True) - slope * centred
    error = math.sqrt(squares(residuals, differences) / df / (n * float(centred @ centred)))
    half = float(stats.t.isf((1 - confidence) / 2, df)) * error
    p = float(2 * stats.t.sf(abs(slope) / error, df)) if error > 0 else float(slope == 0)
    own = paired_t(by_seed.tolist(), confidence) if n > 1 else None
    return SlopeDifference(slope, (slope - half, slope + half), p, df, own)


def rank_stability(small: Sequence[float], large: Sequence[float]) -> RankStability:
    """Kendall's tau-b and Spearman's rho of the arms' losses at two budgets, arms in the same order."""
    x, y = (finite(values, "a comparison of ranks", least=0) for values in (small, large))
    if x.size != y.size:
        raise ValueError(f"ranks are compared over the same arms, got {x.size} and {y.size}")
    smallest = min(1.0, 2 / math.factorial(x.size))
    if x.size < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return RankStability(None, None, None, x.size, smallest)
    tau, rho = cast(Any, stats.kendalltau(x, y)), cast(Any, stats.spearmanr(x, y))  # scipy's types do not know them
    return RankStability(float(tau.statistic), float(rho.statistic), float(tau.pvalue), x.size, smallest)
