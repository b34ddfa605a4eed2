"""How large is a difference, in terms that compare across tasks: probability of improvement, interquartile mean, and
the standardised effect with its interval.

Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (arXiv:2108.13264), and its
library rliable. There each cell of the (runs x tasks) matrix is a training of its own. Here one run takes every task,
so its scores hang together, and whole runs are resampled: resampling cells as rliable does would treat one lucky seed
as many (simulated in tests/analyse/test_effects.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, cast

import numpy as np
from scipy import optimize, special, stats

from harness.analyse.bootstrap import BootstrapInterval
from harness.analyse.finite import Interval, binomial_interval, finite
from harness.analyse.over_seeds import DRAWS, over_seeds
from harness.analyse.planning import spreads
from harness.analyse.statistics import hedges_g, mean_and_sd

Direction = Literal["lower", "higher"]
Unit = Literal["runs", "cells"]


class Superiority(NamedTuple):
    """Over paired seeds: how often the arm is ahead, ties counted half, and the exact interval of that probability."""

    wins: int
    ties: int
    losses: int
    probability: float
    ci95: Interval  # Clopper-Pearson; with ties, of the wins without them


class Standardised(NamedTuple):
    """The mean difference in standard deviations of the difference."""

    hedges_g: float | None
    ci95: Interval | None  # of the mean over the standard deviation, by noncentral t


def interquartile_mean(scores: np.ndarray) -> float:
    """The mean of the middle half of all (runs, tasks) scores: rliable's `aggregate_iqm`."""
    return float(stats.trim_mean(finite(scores, "an interquartile mean", ndim=2, least=1).ravel(), 0.25))


def probability_of_improvement(arm: np.ndarray, baseline: np.ndarray, direction: Direction = "higher") -> float:
    """P(a run of the arm is ahead of a run of the baseline), ties half, averaged over tasks: rliable's definition.

    Mann and Whitney's U over the number of pairs of runs, task by task. It compares runs of any two seeds; over pairs
    of one seed use `superiority`.

    Args:
        arm, baseline: (runs, tasks).
    """
    x, y = (finite(scores, "a probability of improvement", ndim=2, least=1) for scores in (arm, baseline))
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"both arms need the same tasks, got {x.shape[1]} and {y.shape[1]}")
    ahead = x[:, None, :] - y[None, :, :] if direction == "higher" else y[None, :, :] - x[:, None, :]
    return float(((ahead > 0) + 0.5 * (ahead == 0)).mean())


def aggregate(
    statistic: Callable[..., float],
    *scores: np.ndarray,
    resample: Unit = "runs",
    confidence: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> BootstrapInterval:
    """`statistic(*scores)` over (runs, tasks) matrices with an interval.

    Args:
        statistic: such as `interquartile_mean` or `probability_of_improvement`.
        scores: one matrix, or one an arm with the same seeds in the same rows, which are then resampled together.
        resample: "runs" keeps a run's tasks together (jackknife below 20 runs, see analyse/over_seeds.py); "cells" is
            rliable's stratified bootstrap, within each task and each matrix, for cells that are separate trainings.
    """
    tables = [finite(table, "an aggregate", ndim=2, least=1) for table in scores]
    if resample == "cells":
        return _stratified(statistic, tables, confidence, draws, seed)
    if len({len(table) for table in tables}) != 1:
        raise ValueError(f"arms are resampled by seed: they need the same runs, got {[len(t) for t in tables]}")
    return over_seeds(
        lambda rows: statistic(*(table[rows] for table in tables)), len(tables[0]), confidence, draws=draws, seed=seed
    )


def superiority(differences: Sequence[float], direction: Direction = "lower") -> Superiority:
    """How often the arm is ahead of the baseline on the same seed, from arm minus baseline."""
    values = finite(differences, "a probability of superiority", least=1)
    signed = values if direction == "higher" else -values
    wins, losses = int((signed > 0).sum()), int((signed < 0).sum())
    ties = values.size - wins - losses
    return Superiority(wins, ties, losses, (wins + ties / 2) / values.size, binomial_interval(wins, wins + losses))


def standardised(differences: Sequence[float], confidence: float = 0.95) -> Standardised:
    """Hedges g and the exact interval of μ/σ of the differences.

    √n mean/s is noncentral t with noncentrality √n μ/σ; the interval is the noncentralities that the observed t does
    not reject (Steiger and Fouladi 1997; Cumming and Finch 2001). None without any spread.
    """
    mean, sd, n = mean_and_sd(differences)
    if sd == 0:
        return Standardised(None, None)
    t = math.sqrt(n) * mean / sd
    tail = (1 - confidence) / 2
    ends = (_noncentrality(t, n - 1, 1 - tail), _noncentrality(t, n - 1, tail))
    return Standardised(hedges_g(differences), (ends[0] / math.sqrt(n), ends[1] / math.sqrt(n)))


def _noncentrality(t: float, df: int, probability: float) -> float:
    """The noncentrality at which P(T <= t) is `probability`: it falls as the noncentrality grows."""

    def excess(noncentrality: float) -> float:
        return _noncentral_cdf(t, df, noncentrality) - probability

    reach = abs(t) + 8 * math.sqrt(1 + t * t / (2 * df)) + 8  # beyond eight standard errors on either side
    return cast(float, optimize.brentq(excess, t - reach, t + reach, xtol=1e-8))


def _noncentral_cdf(t: float, df: int, noncentrality: float) -> float:
    """P(T <= t) of noncentral t as the mean of Φ(t s - δ) over s = √(χ²/df); scipy's gives NaN in the far tail."""
    s, mass = spreads(df)
    return float(mass @ special.ndtr(t * s - noncentrality))


def _stratified(
    statistic: Callable[..., float], tables: Sequence[np.ndarray], confidence: float, draws: int, seed: int
) -> BootstrapInterval:
    rng = np.random.default_rng(seed)
    values = [
        statistic(*(np.take_along_axis(t, rng.integers(0, len(t), t.shape), axis=0) for t in tables))
        for _ in range(draws)
    ]
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return BootstrapInterval(statistic(*tables), (float(low), float(high)), "stratified bootstrap of cells")
