"""Accuracy that a constant or broken model cannot have: the one place where a metric differs from lm-eval's.

lm-eval takes the argmax of the choices' log-likelihoods. Of equal or NaN values the argmax is the first, and on BLiMP
the first is always right, so a model that says nothing scores 100 %. Here

- a tie of the right answer with another for the largest counts 1 / (number of choices), so that a constant model
  scores at chance;
- an item with a NaN among its log-likelihoods counts 0 and is reported.

Where every item has a single finite largest value the two agree; lm-eval's own number is kept beside ours.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

Z95 = 1.959963984540054
"""Half-width of a 95 % interval in standard errors, normal approximation (lm-eval's items number hundreds)."""

BOOTSTRAP_DRAWS = 1000
"""Resamples of the documents; the error of the standard error is then about 2 % (Efron and Tibshirani 1993)."""


def credit(loglikelihoods: Sequence[float], gold: Collection[int]) -> float:
    """1 where the largest is right, 1 / choices where a right one shares the largest with a wrong one, else 0."""
    if any(math.isnan(value) for value in loglikelihoods):
        return 0.0
    largest = max(loglikelihoods)
    best = {i for i, value in enumerate(loglikelihoods) if value == largest}
    right = best & set(gold)
    if not right:
        return 0.0
    return 1.0 if best == right else 1 / len(loglikelihoods)


def is_tie(loglikelihoods: Sequence[float]) -> bool:
    """Whether the largest value is not the only one."""
    return sum(value == max(loglikelihoods) for value in loglikelihoods) > 1


@dataclass(frozen=True)
class Estimate:
    """A value, its standard error and 95 % interval; None where they cannot be said."""

    value: float | None
    standard_error: float | None
    ci95: tuple[float, float] | None


UNKNOWN = Estimate(None, None, None)


def mean_estimate(values: Sequence[float]) -> Estimate:
    """The mean with the standard error of the central limit theorem, s / sqrt(n) (Miller 2024, arXiv:2411.00640)."""
    array = np.asarray(values, dtype=np.float64)
    if not len(array) or not np.isfinite(array).all():
        return UNKNOWN
    return _with_error(float(array.mean()), _standard_error(array))


def _with_error(mean: float, error: float | None) -> Estimate:
    return Estimate(mean, error, None if error is None else (mean - Z95 * error, mean + Z95 * error))


def group_estimate(values: Sequence[float], weights: Sequence[float]) -> Estimate:
    """The weighted mean of a group's members, each member a cluster of items:

    sqrt(G/(G-1) sum w_g^2 (x_g - mean)^2), the weights summing to 1: Miller's clustered standard error (2024,
    section 2.2) with the small-sample factor. With equal weights it is s / sqrt(G).
    """
    x, w = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    w = w / w.sum()
    mean, groups = float(w @ x), len(x)
    if groups < 2:
        return _with_error(mean, None)
    return _with_error(mean, float(np.sqrt(groups / (groups - 1) * (w**2 @ (x - mean) ** 2))))


def bootstrap_estimate(values: Sequence[float], weights: Sequence[float], *, exponential: bool) -> Estimate:
    """A weighted mean over documents, or its exponential, with percentile interval and standard error.

    Documents are resampled and never tokens, which depend on their neighbours (definitions, 3.5). The generator is
    seeded here, so the numbers repeat.
    """
    x, w = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if not len(x) or not np.isfinite(x).all() or w.sum() <= 0:
        return UNKNOWN
    transform = np.exp if exponential else np.asarray
    with np.errstate(over="ignore", invalid="ignore"):
        value = float(transform(w @ x / w.sum()))
        draws = transform(_resampled_means(x, w)) if len(x) > 1 else np.empty(0)
    if not math.isfinite(value) or not np.isfinite(draws).all():
        return Estimate(value if math.isfinite(value) else None, None, None)
    if not len(draws):
        return Estimate(value, None, None)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(value, float(draws.std(ddof=1)), (float(low), float(high)))


def _resampled_means(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(0)
    means = []
    for _ in range(BOOTSTRAP_DRAWS):
        counts = np.bincount(rng.integers(0, len(x), len(x)), minlength=len(x))
        total = counts @ w
        means.append(counts @ (w * x) / total if total else x.mean())
    return np.array(means)


def beats_guessing(estimate: Estimate, chance: float, guessing_error: float) -> bool:
    """Whether the 95 % interval excludes chance, its standard error at least that of pure guessing.

    Guessing's own error keeps two items that happen to be right from counting as knowledge.
    """
    if estimate.value is None:
        return False
    return abs(estimate.value - chance) > Z95 * max(estimate.standard_error or 0.0, guessing_error)


def _standard_error(array: np.ndarray) -> float | None:
    if len(array) < 2:
        return None
    return 0.0 if array.min() == array.max() else float(array.std(ddof=1) / math.sqrt(len(array)))
