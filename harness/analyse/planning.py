"""How many seeds, before any is spent: what a number of pairs can detect, what it can call equivalent, and how many a
wished effect needs.

The spread that a plan rests on is an estimate too. From 4 seeds it is too small half of the time, and a plan built on
it then promises too much: `cautious_sd` is its upper limit (Browne 1995, Statist. Med. 14:1933).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple, cast

import numpy as np
from scipy import optimize, special, stats

from harness.analyse.finite import level
from harness.analyse.permutation import seeds_to_reach
from harness.analyse.statistics import MOST_PAIRS, mean_and_sd, pairs_needed, smallest_effect

NODES = 256  # of Gauss-Legendre over the quantiles of s: power within 1e-5 (tested against quadrature)


class Plan(NamedTuple):
    """Pairs that a wish needs; None is more than MOST_PAIRS."""

    effect: float
    power: float
    sd: float
    pairs_for_difference: int | None  # to find a true difference of `effect`
    pairs_for_equivalence: int | None  # to call no difference equivalent within ± `effect`
    pairs_for_sign_flip: int  # the fewest with which a sign-flip test can reach the level at all


class Detectable(NamedTuple):
    """In the unit of the spread."""

    pairs: int
    smallest_effect: float  # a true difference that is found
    smallest_margin: float  # within which no difference is called equivalent


def plan(sd: float, effect: float, power: float = 0.8, alpha: float = 0.05, tests: int = 1) -> Plan:
    """The pairs of seeds that detect `effect`, or exclude it, with probability `power` at alpha / tests.

    Args:
        sd: of the paired difference, in the unit of `effect`; take `cautious_sd` of a pilot.
    """
    if not (sd >= 0 and effect > 0 and math.isfinite(sd + effect)):
        raise ValueError(f"a plan needs a spread of at least 0 and an effect above 0, got {sd} and {effect}")
    share = level(alpha) / tests
    return Plan(
        effect,
        level(power),
        sd,
        pairs_needed(sd, effect, power, share),
        pairs_for_equivalence(sd, effect, power, share),
        seeds_to_reach(alpha, tests),
    )


def cautious_sd(values: Sequence[float], confidence: float = 0.8) -> float:
    """The upper one-sided limit of a standard deviation: s √((n-1) / χ²(1-confidence; n-1)), normal values."""
    _, sd, n = mean_and_sd(values)
    return sd * math.sqrt((n - 1) / float(stats.chi2.ppf(1 - level(confidence), n - 1)))


def tost_power(margin: float, n: int, effect: float = 0.0, alpha: float = 0.05) -> float:
    """P(two one-sided t-tests both pass) of `n` pairs; margin and true effect in standard deviations of the difference.

    The exact integral over the spread, which Owen's Q writes (Owen 1965; Phillips 1990, J. Pharmacokinet. Biopharm.
    18:137): E[Φ((δ-μ)√n - c s) - Φ((-δ-μ)√n + c s)]+ with s = √(χ²/df) and c Student's quantile.
    """
    if n < 2:
        raise ValueError(f"a spread needs at least 2 pairs, got {n}; run more seeds")
    s, mass = spreads(n - 1)
    critical = float(stats.t.isf(level(alpha), n - 1)) * s
    high = special.ndtr((margin - effect) * math.sqrt(n) - critical)
    low = special.ndtr((-margin - effect) * math.sqrt(n) + critical)
    return float(mass @ np.clip(high - low, 0.0, None))


def smallest_margin(sd: float, n: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest margin within which `n` pairs call no difference equivalent with probability `power`."""
    return sd * _smallest_margin_in_sd(n, power, alpha)


def pairs_for_equivalence(sd: float, margin: float, power: float = 0.8, alpha: float = 0.05) -> int | None:
    """The fewest pairs whose smallest margin is at most `margin`; None if that is more than MOST_PAIRS."""
    if smallest_margin(sd, MOST_PAIRS, power, alpha) > margin:
        return None
    low, high = 2, MOST_PAIRS
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if smallest_margin(sd, middle, power, alpha) <= margin else (middle + 1, high)
    return low


def detectable(sd: float, pairs: Sequence[int], power: float = 0.8, alpha: float = 0.05) -> list[Detectable]:
    """What each number of pairs finds with probability `power`."""
    return [Detectable(n, smallest_effect(sd, n, power, alpha), smallest_margin(sd, n, power, alpha)) for n in pairs]


@cache
def _smallest_margin_in_sd(n: int, power: float, alpha: float) -> float:
    above = 1.0
    while tost_power(above, n, alpha=alpha) < power:
        above *= 2
    return cast(float, optimize.brentq(lambda margin: tost_power(margin, n, alpha=alpha) - power, 0.0, above))


@cache
def spreads(df: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights for the mean over s = √(χ²(df)/df)."""
    quantiles, mass = np.polynomial.legendre.leggauss(NODES)
    return np.sqrt(stats.chi2.ppf((quantiles + 1) / 2, df) / df), mass / 2
