"""What every statistic asks of its numbers: the shape it expects, enough of them, and none that is not a number."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

Interval = tuple[float, float]

ROUNDING = 1e-13  # relative; some hundred float64 roundings


def finite(values: Any, what: str, ndim: int = 1, least: int = 2) -> np.ndarray:
    """`values` as float64 with `ndim` axes, the first at least `least` long.

    Raises:
        ValueError: the shape is another, or a value is NaN or infinite; a run that diverged has no loss and must be
            left out, or given a capped one (analyse/divergence.py).
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != ndim or array.shape[0] < least or array.size == 0:
        raise ValueError(f"{what} needs {ndim} axes and at least {least} rows, got shape {array.shape}; run more seeds")
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise ValueError(f"{what} needs finite values, got {bad} that are not; leave out what did not finish")
    return array


def squares(residuals: np.ndarray, values: np.ndarray) -> float:
    """The sum of squared residuals, exactly 0 where they are rounding and nothing else."""
    if np.abs(residuals).max() <= ROUNDING * np.abs(values).max():
        return 0.0
    return float((residuals**2).sum())


def settled(contrasts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Contrasts of `values` over seeds, the last axis, without what is rounding: exactly 0, or exactly alike."""
    least = ROUNDING * np.abs(values).max()
    contrasts = np.where(np.abs(contrasts) <= least, 0.0, contrasts)
    alike = np.ptp(contrasts, axis=-1, keepdims=True) <= least
    return np.where(alike, contrasts[..., :1], contrasts)


def level(alpha: float) -> float:
    """`alpha` when it is a level, strictly between 0 and 1; else ValueError."""
    if not 0 < alpha < 1:
        raise ValueError(f"a level lies between 0 and 1, got {alpha}; the usual one is 0.05")
    return alpha


def binomial_interval(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """The exact interval of a proportion (Clopper and Pearson 1934, Biometrika 26:404); (0, 1) for no trials."""
    if not 0 <= successes <= trials:
        raise ValueError(f"successes lie between 0 and the {trials} trials, got {successes}")
    if trials == 0:
        return 0.0, 1.0
    tail, failures = (1 - level(confidence)) / 2, trials - successes
    low = float(special.betaincinv(successes, failures + 1, tail)) if successes else 0.0
    high = float(special.betaincinv(successes + 1, failures, 1 - tail)) if failures else 1.0
    return low, high


def wilson_interval(successes: float, trials: int, confidence: float = 0.95) -> Interval:
    """The score interval of a proportion (Wilson 1927, J. Am. Statist. Assoc. 22:209); (0, 1) for no trials.

    It covers about `confidence` on average, `binomial_interval` at least that. `successes` need not be whole.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"successes lie between 0 and the {trials} trials, got {successes}")
    if trials == 0:
        return 0.0, 1.0
    z = float(special.ndtri(1 - (1 - level(confidence)) / 2))
    rate, weight = successes / trials, z * z / trials
    middle = rate + weight / 2
    half = (weight * rate * (1 - rate) + (weight / 2) ** 2) ** 0.5
    return max(0.0, (middle - half) / (1 + weight)), min(1.0, (middle + half) / (1 + weight))
