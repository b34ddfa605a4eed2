"""How much compute the baseline needs for an arm's loss, over what the arm was given: a ratio above 1 favours the arm.

The baseline's runs at each budget are a sample of their own, and so are the arm's; they may differ in number. The loss
is read off the line between two rungs in log compute (definitions 3.7: no floor with few budgets, and nothing beyond
twice the ladder). The error is the jackknife's over all samples at once, each value left out in turn:

    Var = sum over samples of (n - 1)/n sum_i (theta_(i) - mean)^2

with Satterthwaite's degrees of freedom. Pairing is not used: it gains little here (docs/decisions/0002).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.analyse.scaling import REACH, local_budget
from harness.analyse.words import Effect


def log_compute_ratio(
    budgets: Sequence[float], ladder: Sequence[Sequence[float]], arm: Sequence[float], budget: float
) -> tuple[Effect | None, str]:
    """ln of the ratio, or None with the reason.

    Args:
        budgets: FLOPs of the rungs, growing, at least 2; ladder: losses of the baseline at each, one a seed.
        arm: losses of the arm, one a seed, all at `budget` FLOPs.
    """
    samples = [np.asarray(values, dtype=float) for values in (*ladder, arm)]
    if len(budgets) < 2 or min(len(sample) for sample in samples) < 2:
        return None, "a ladder needs 2 budgets or more, with 2 seeds or more at each and of the arm"

    def theta(parts: Sequence[np.ndarray]) -> float | None:
        *rungs, own = (float(part.mean()) for part in parts)
        needed = local_budget(budgets, rungs, own)
        return None if needed is None else math.log(needed / budget)

    estimate = theta(samples)
    if estimate is None:
        return None, "the baseline's loss does not fall with compute where the arm's lies; extend the ladder"
    needed = budget * math.exp(estimate)
    if not min(budgets) / REACH <= needed <= max(budgets) * REACH:
        span = f"{min(budgets):.3g} to {max(budgets):.3g}"
        return None, f"the baseline would need {needed:.3g} FLOPs, beyond {REACH:g} times the ladder ({span})"
    parts, variances = samples, []
    for g, sample in enumerate(samples):
        left = [theta([*parts[:g], np.delete(sample, i), *parts[g + 1 :]]) for i in range(len(sample))]
        if any(value is None for value in left):
            return None, "the ratio does not exist when one run is left out; run more seeds"
        values, n = np.array(left, dtype=float), len(sample)
        variances.append(((n - 1) / n * float(((values - values.mean()) ** 2).sum()), n - 1))
    total = sum(v for v, _ in variances)
    spread = sum(v**2 / df for v, df in variances)
    df = total**2 / spread if spread > 0 else float(sum(df for _, df in variances))
    return Effect(estimate, len(arm), error=math.sqrt(total), df=df), ""
