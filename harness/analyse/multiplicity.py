"""Many arms against one baseline: p-values that stay honest when there were many chances to be lucky.

Which to use, and for what:

- **Holm** (analyse/statistics.py) over paired t-tests: a confirmatory family of any size and any n. It assumes nothing
  of how the tests hang together and pays for it: arms that share a baseline have correlated differences.
- **max-t** with sign flips (Westfall and Young 1993, section 2.6 and algorithm 2.8): the same error rate with that
  correlation used, and no normal distribution. Its smallest p is 2^(1-n) for the family as a whole, not for each arm:
  from 6 seeds on it reaches 0.05 for any number of arms, where Holm over sign-flip tests of 6 arms needs 8 seeds. Do
  not run both and take the smaller: neither is always below the other. Declare one.
- **Dunnett** (1955, JASA 50:1096) with seeds as blocks: one spread pooled over all arms, m(n-1) degrees of freedom
  instead of n-1, so it is the most powerful for 3 to 5 seeds. It assumes that all differences have the same spread.
  Here they often do not (a variant of the position slot spreads ten times more than one of the norm slot), and then
  the pooled spread makes a noisy arm's luck look certain, so it is refused unless the spreads are alike.
- **Benjamini-Hochberg** for an exploratory grid: among what it names, on average at most q is wrong. Never a verdict.

scipy.stats.dunnett is for independent groups and is not used: with seeds as blocks the error term is the residual of
arms x seeds, and the p-value below is an integral, equal on every call, where scipy draws random points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple, cast

import numpy as np
from scipy import optimize, special, stats

from harness.analyse.finite import Interval, finite, squares
from harness.analyse.permutation import DRAWS, MOST_EXACT_SEEDS, TIE, sign_patterns, why_unreachable

FALSE_DISCOVERY_RATE = 0.10  # q of an exploratory grid; convention (definitions, section 3.5)

LARGEST_SPREAD_RATIO = 3.0
"""Largest over smallest standard deviation of the differences at which pooling is allowed. With equal spreads it is
exceeded in 1 of 6 studies of 5 seeds and 5 arms (simulated, tests/analyse/test_multiplicity.py); assumption."""

NODES = 64  # of each quadrature: a p is then within 1e-5 (measured against 256 nodes, 2 to 40 arms, df from 2)


class MaxT(NamedTuple):
    """Adjusted p-values, one an arm; None with the `reason` where so few seeds could not reach the level."""

    adjusted: tuple[float, ...] | None
    exact: bool
    reason: str = ""


class Dunnett(NamedTuple):
    """Adjusted p-values and simultaneous intervals of arm minus baseline; None with the `reason` where refused."""

    adjusted: tuple[float, ...] | None
    intervals: tuple[Interval, ...] | None
    sd: float  # of one run about its arm and its seed
    degrees_of_freedom: int
    spread_ratio: float  # largest over smallest standard deviation of the differences
    reason: str = ""


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """q-values: an arm is among the discoveries at rate q when its value is at most q. None passes through uncounted.

    Benjamini and Hochberg (1995), J. R. Stat. Soc. B 57:289; it holds for arms that share a baseline, whose tests are
    positively dependent (Benjamini and Yekutieli 2001, Ann. Statist. 29:1165, for one-sided tests).
    """
    tested = [p for p in p_values if p is not None]
    if any(not 0 <= p <= 1 for p in tested):
        raise ValueError(f"p-values lie between 0 and 1, got {tested}")
    adjusted = iter(stats.false_discovery_control(tested, method="bh").tolist() if tested else [])
    return [None if p is None else next(adjusted) for p in p_values]


def max_t(
    differences: np.ndarray | Sequence[Sequence[float]],
    alpha: float = 0.05,
    *,
    step_down: bool = True,
    draws: int = DRAWS,
    seed: int = 0,
) -> MaxT:
    """Adjusted p-values of arms that share a baseline: each |t| against the largest |t| of flipped seeds.

    A seed's differences change sign together, which keeps how the arms hang together. `step_down` compares each arm
    only with those not larger than itself, as Holm does, and is never above the single step.

    Args:
        differences: (n seeds, m arms), arm minus baseline; exact up to MOST_EXACT_SEEDS seeds, else `draws` patterns.

    Raises:
        ValueError: a difference is missing: take the seeds that every arm finished.
    """
    table = finite(differences, "max-t", ndim=2, least=1)
    n = len(table)
    exact = n <= MOST_EXACT_SEEDS
    if reason := why_unreachable(n, alpha):
        return MaxT(None, exact, reason)
    squares = (table**2).sum(axis=0)
    scale = np.where(squares > 0, n * squares, 1.0)
    observed = table.sum(axis=0) ** 2 / scale  # u = t^2 / (t^2 + n - 1): grows with |t|, and is 1 without any spread
    flipped = (sign_patterns(n, draws=draws, seed=seed) @ table) ** 2 / scale  # (patterns, m)
    order = np.argsort(-observed, kind="stable")
    if step_down:
        largest = np.maximum.accumulate(flipped[:, order][:, ::-1], axis=1)[:, ::-1]
    else:
        largest = np.broadcast_to(flipped.max(axis=1)[:, None], flipped.shape)
    hits = (largest >= observed[order] - TIE).sum(axis=0)
    p = hits / len(flipped) if exact else (1 + hits) / (1 + len(flipped))
    adjusted = np.empty(table.shape[1])
    adjusted[order] = np.maximum.accumulate(p)
    return MaxT(tuple(adjusted.tolist()), exact)


def dunnett(
    baseline: Sequence[float], arms: np.ndarray | Sequence[Sequence[float]], confidence: float = 0.95
) -> Dunnett:
    """All arms against the baseline with seeds as blocks, normal residuals and one spread.

    t_j = (mean of arm j - mean of baseline) / (s sqrt(2/n)), s^2 the residual mean square of arms x seeds with
    m (n - 1) degrees of freedom; the t_j have correlation 1/2 under the null hypothesis.

    Args:
        baseline: (n,) values; arms: (n seeds, m arms).
    """
    table = np.column_stack([finite(baseline, "Dunnett's test"), finite(arms, "Dunnett's test", ndim=2)])
    n, m = len(table), table.shape[1] - 1
    differences = table[:, 1:] - table[:, :1]
    residuals = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    df = m * (n - 1)
    sd = math.sqrt(squares(residuals, table) / df)
    spreads = differences.std(axis=0, ddof=1)
    if sd == 0:
        return Dunnett(None, None, sd, df, 1.0, "the runs have no spread about arm and seed; nothing to judge by")
    ratio = float(spreads.max() / spreads.min()) if spreads.min() > 0 else math.inf
    if ratio > LARGEST_SPREAD_RATIO:
        reason = (
            f"the arms' differences spread unequally (largest over smallest standard deviation {ratio:.3g}, above "
            f"{LARGEST_SPREAD_RATIO:g}), and Dunnett's test pools them; use max-t, or Holm over paired t-tests"
        )
        return Dunnett(None, None, sd, df, ratio, reason)
    error = sd * math.sqrt(2 / n)
    means = differences.mean(axis=0)
    half = dunnett_critical(m, df, 1 - confidence) * error
    return Dunnett(
        tuple(dunnett_p(float(abs(mean)) / error, m, df) for mean in means),
        tuple((float(mean) - half, float(mean) + half) for mean in means),
        sd,
        df,
        ratio,
    )


def dunnett_p(t: float, arms: int, df: int) -> float:
    """P(max_j |T_j| >= t) for `arms` t variables with correlation 1/2 and one chi-square of `df` below them.

    Given the shared spread s and baseline z the arms are independent; both are integrated by Gauss quadrature.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / weights.sum()
    quantiles, mass = np.polynomial.legendre.leggauss(NODES)
    s = np.sqrt(stats.chi2.ppf((quantiles + 1) / 2, df) / df)[:, None]  # equal mass between 0 and 1
    z = nodes[None, :] * math.sqrt(0.5)
    inside = special.ndtr((t * s - z) / math.sqrt(0.5)) - special.ndtr((-t * s - z) / math.sqrt(0.5))
    return float(min(1.0, max(0.0, 1 - mass @ (inside**arms) @ weights / 2)))


@cache
def dunnett_critical(arms: int, df: int, alpha: float) -> float:
    """The t that max_j |T_j| exceeds with probability `alpha`: Dunnett (1964), Biometrics 20:482, tables."""
    above = 2.0
    while dunnett_p(above, arms, df) > alpha:
        above *= 2
    return cast(float, optimize.brentq(lambda t: dunnett_p(t, arms, df) - alpha, 0.0, above, xtol=1e-9))
