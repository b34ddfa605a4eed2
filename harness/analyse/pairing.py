"""What does pairing by seed buy? The correlation of two arms over seeds, and the share of variance that goes with it.

Pairing gain = 1 - Var(d) / (2 σ²), σ² the mean of the two arms' variances: 0.9 means that an unpaired study needs ten
times the seeds. It is near 0 where training forgets its seed, and below 0 where pairing does harm; then say so and run
more seeds (Box, Hunter and Hunter 2005, Statistics for Experimenters, chapter 3, on paired comparisons).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from harness.analyse.finite import Interval, finite


class Pairing(NamedTuple):
    """Over seeds; None is what has no spread to be measured by, or too few seeds."""

    correlation: float | None
    correlation_ci95: Interval | None  # Fisher's z; needs 4 seeds
    gain: float | None
    gain_ci95: Interval | None  # exact for two arms of equal variance
    seeds_ratio: float | None  # seeds an unpaired study needs for each pair, 1 / (1 - gain), about


def pairing(baseline: Sequence[float], arm: Sequence[float], confidence: float = 0.95) -> Pairing:
    """Correlation and gain of two arms over the same seeds.

    The gain's interval: with u = a + b and v = a - b, Var(v)/Var(u) = (1-g)/(1+g), and for equal variances the ratio of
    their estimates over it is F with n - 1 and n - 1 degrees of freedom (Pitman 1939; Morgan 1939, Biometrika 31).

    Raises:
        ValueError: fewer than 2 seeds, a value that is not finite, or arms of different lengths.
    """
    x, y = finite(baseline, "a pairing"), finite(arm, "a pairing")
    if x.size != y.size:
        raise ValueError(f"a pairing needs the same seeds in both arms, got {x.size} and {y.size}")
    n, tail = x.size, (1 - confidence) / 2
    correlation = float(np.corrcoef(x, y)[0, 1]) if n > 2 and np.ptp(x) > 0 and np.ptp(y) > 0 else None
    of_sum, of_difference = float(np.var(x + y, ddof=1)), float(np.var(y - x, ddof=1))
    if of_sum + of_difference == 0 or (np.ptp(x) == 0 and np.ptp(y) == 0):
        return Pairing(correlation, None, None, None, None)
    gain = (of_sum - of_difference) / (of_sum + of_difference)  # = 2 Cov / (Var + Var) = 1 - Var(d) / (2 σ²)
    ends = None
    if of_sum > 0:
        f = float(stats.f.isf(tail, n - 1, n - 1))
        ratios = of_difference / of_sum * f, of_difference / of_sum / f
        ends = (1 - ratios[0]) / (1 + ratios[0]), (1 - ratios[1]) / (1 + ratios[1])
    ratio = math.inf if gain >= 1 else 1 / (1 - gain)
    return Pairing(correlation, _fisher(correlation, n, confidence), gain, ends, ratio)


def _fisher(correlation: float | None, n: int, confidence: float) -> Interval | None:
    """tanh(atanh r ± z / √(n - 3)): Fisher (1921), Metron 1:3."""
    if correlation is None or n < 4 or abs(correlation) >= 1:
        return None
    half = float(stats.norm.isf((1 - confidence) / 2)) / math.sqrt(n - 3)
    return math.tanh(math.atanh(correlation) - half), math.tanh(math.atanh(correlation) + half)
