"""Two samples that nothing pairs: the difference of their means, each with its own variance."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy import stats

from harness.analyse.statistics import PairedT, mean_and_sd


def welch_t(first: Sequence[float], second: Sequence[float], confidence: float = 0.95) -> PairedT:
    """Mean of `second` minus mean of `first`, with Welch's interval and two-sided p.

    Standard error √(s₁²/n₁ + s₂²/n₂), degrees of freedom after Welch (1947), Biometrika 34:28, and Satterthwaite
    (1946), Biometrics Bulletin 2:110. Without any spread the interval is the difference itself, as in `paired_t`.

    Raises:
        ValueError: a sample has fewer than 2 values, or one is not finite.
    """
    (mean_1, sd_1, n_1), (mean_2, sd_2, n_2) = mean_and_sd(first), mean_and_sd(second)
    difference, v_1, v_2 = mean_2 - mean_1, sd_1**2 / n_1, sd_2**2 / n_2
    if v_1 + v_2 == 0:
        return PairedT(difference, (difference, difference), 1.0 if difference == 0 else 0.0)
    error = math.sqrt(v_1 + v_2)
    df = (v_1 + v_2) ** 2 / (v_1**2 / (n_1 - 1) + v_2**2 / (n_2 - 1))
    half = float(stats.t.isf((1 - confidence) / 2, df)) * error
    p = float(2 * stats.t.sf(abs(difference) / error, df))
    return PairedT(difference, (difference - half, difference + half), p)
