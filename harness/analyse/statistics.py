"""The statistics of a paired comparison: small pure functions over the differences, one number a seed.

Differences are variant minus baseline on the same seed. With few seeds (n < 10) Student's t is used and not
the bootstrap, whose percentile intervals cover too little there.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple, cast

import numpy as np
from scipy import optimize, special, stats

MOST_PAIRS = 1000  # assumption: nobody trains more seeds than this for one answer


class PairedT(NamedTuple):
    """A mean difference, its confidence interval, and the two-sided p-value of "the mean is zero"."""

    mean: float
    ci: tuple[float, float]
    p: float


def paired_t(differences: Sequence[float], confidence: float = 0.95) -> PairedT:
    """The paired t-test: mean ± t(n-1) · s / √n, and p = 2 P(T > |mean| √n / s).

    Student (1908), "The Probable Error of a Mean". With s = 0 the interval is the mean itself and p is
    1 when the mean is zero, else 0.
    """
    mean, sd, n = mean_and_sd(differences)
    if sd == 0:
        return PairedT(mean, (mean, mean), 1.0 if mean == 0 else 0.0)
    error = sd / math.sqrt(n)
    half = t_quantile((1 - confidence) / 2, n - 1) * error
    return PairedT(mean, (mean - half, mean + half), 2 * t_tail(abs(mean) / error, n - 1))


def t_tail(x: float, df: float) -> float:
    """P(T > x) of Student's t: `scipy.stats.t.sf`, without the 100 us of its checks."""
    return float(special.stdtr(df, -x))


def t_quantile(tail: float, df: float) -> float:
    """The x with P(T > x) = `tail`: `scipy.stats.t.isf`, likewise."""
    return -float(special.stdtrit(df, tail))


def tost(differences: Sequence[float], margin: float) -> float:
    """p-value of equivalence by two one-sided t-tests: max of P(T > (mean+δ)√n/s) and P(T < (mean-δ)√n/s).

    Schuirmann (1987), J. Pharmacokinet. Biopharm. 15:657. Small p: the mean lies within ±δ; p <= 0.05
    exactly when the 90 % interval does.
    """
    if not margin > 0:
        raise ValueError(f"a margin of equivalence is greater than 0, got {margin}")
    mean, sd, n = mean_and_sd(differences)
    if sd == 0:
        return 0.0 if abs(mean) < margin else 1.0
    error = sd / math.sqrt(n)
    return t_tail((margin - abs(mean)) / error, n - 1)  # the nearer side has the larger p


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p-values adjusted so that 0.05 holds for all of them at once: p(i) becomes max over j <= i of (m-j+1) p(j).

    Holm (1979), Scand. J. Statist. 6:65. None, a test that could not be made, passes through uncounted.
    """
    tested = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, i) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * p))
        adjusted[i] = largest
    return adjusted


def probability_below_zero(differences: Sequence[float]) -> float:
    """P(μ < 0) under a flat prior on μ and log σ, whose posterior is Student's t: P(T < -mean √n / s).

    Gelman et al., Bayesian Data Analysis, section 3.2. For a score where lower is better it is the
    probability that the variant is better on average.
    """
    mean, sd, n = mean_and_sd(differences)
    if sd == 0:
        return 0.5 if mean == 0 else float(mean < 0)
    return t_tail(mean * math.sqrt(n) / sd, n - 1)


def smallest_effect(sd: float, n: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest mean difference that `n` pairs detect with probability `power`, in the unit of `sd`."""
    if n < 2:
        raise ValueError(f"a spread needs at least 2 pairs, got {n}; run more seeds")
    return sd * _smallest_in_sd(n, power, alpha)


def pairs_needed(sd: float, effect: float, power: float = 0.8, alpha: float = 0.05) -> int | None:
    """The fewest pairs whose smallest effect is at most `effect`; None if that is more than MOST_PAIRS.

    From 4 pairs on about what equivalence needs too, when `effect` is the distance to the margin: for 8 pairs both
    are 1.15 to 1.16 standard deviations, for 10 both 1.00 (computed; equivalence by simulation).
    """
    if smallest_effect(sd, MOST_PAIRS, power, alpha) > effect:
        return None
    pairs = range(2, MOST_PAIRS + 1)
    return pairs[bisect_left(pairs, -effect, key=lambda n: -smallest_effect(sd, n, power, alpha))]


def hedges_g(differences: Sequence[float]) -> float | None:
    """The mean difference in standard deviations of the difference, corrected for small n: J · mean / s.

    J = Γ(f/2) / (√(f/2) Γ((f-1)/2)), f = n - 1 (Hedges 1981, J. Educ. Stat. 6:107). None where it is not
    defined: for fewer than 3 pairs, or without any spread.
    """
    mean, sd, n = mean_and_sd(differences)
    if n < 3 or sd == 0:
        return None
    f = n - 1
    correction = math.exp(special.gammaln(f / 2) - special.gammaln((f - 1) / 2)) / math.sqrt(f / 2)
    return correction * mean / sd


def pairing_correlation(baseline: Sequence[float], variant: Sequence[float]) -> float | None:
    """Pearson's correlation of the two arms over seeds: what pairing gains is read from it.

    None where it says nothing: for fewer than 3 pairs (two points always lie on a line), or without any spread.
    """
    (_, sd_baseline, n), (_, sd_variant, _) = mean_and_sd(baseline), mean_and_sd(variant)
    if n < 3 or sd_baseline == 0 or sd_variant == 0:
        return None
    return float(np.corrcoef(baseline, variant)[0, 1])


def mean(values: Sequence[float]) -> float | None:
    """The arithmetic mean, exact to the last bit (math.fsum), or None of nothing."""
    return math.fsum(values) / len(values) if values else None


def mean_and_sd(values: Sequence[float]) -> tuple[float, float, int]:
    """Mean, standard deviation with n - 1, and n; the deviation of equal values is exactly 0.

    Raises:
        ValueError: there are fewer than 2 values, or one is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size < 2:
        raise ValueError(f"a spread needs at least 2 values, got {array.size}; run more seeds")
    least, largest, n = float(array.min()), float(array.max()), array.size
    if not (math.isfinite(least) and math.isfinite(largest)):  # a NaN is both
        raise ValueError(f"statistics need finite values, got {array.tolist()}; leave out what did not finish")
    if least == largest:
        return float(array[0]), 0.0, n
    mean = np.add.reduce(array) / n  # as array.mean() and array.std(ddof=1) do it, in a third of their time
    deviations = array - mean
    return float(mean), math.sqrt(np.add.reduce(deviations * deviations) / (n - 1)), n


@cache
def _smallest_in_sd(n: int, power: float, alpha: float) -> float:
    above = 1.0
    while _power(above, n, alpha) < power:
        above *= 2
    return cast(float, optimize.brentq(lambda effect: _power(effect, n, alpha) - power, 0.0, above))


def _power(effect: float, n: int, alpha: float) -> float:
    """Probability that the two-sided t-test of `n` pairs rejects zero when the mean is `effect` standard deviations.

    T is noncentral t with n-1 degrees of freedom and noncentrality effect · √n (Cohen 1988, chapter 2). Computed
    from T², which is noncentral F: scipy's noncentral t gives NaN in the far tail.
    """
    if effect == 0:
        return alpha
    critical = t_quantile(alpha / 2, n - 1)
    return float(stats.ncf.sf(critical**2, 1, n - 1, n * effect**2))
