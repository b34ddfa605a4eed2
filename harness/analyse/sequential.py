"""Looks declared beforehand: stop after 4 pairs when they already decide, go on to 8 or 12 when they do not.

Looking again and again at the usual level finds differences too often: 3 looks at 5 % err in 11 % of studies. Here the
level is spent over the looks, little of it early, as Lan and DeMets (1983, Biometrika 70:659) do for O'Brien and
Fleming's (1979) boundary: 2 (1 - Φ(z(α/2) / √τ)) on a side of level α at the share τ of the planned pairs, and twice
that with α/2 for both sides. Their boundaries are for known variance; with a few pairs |t| exceeds them far more often.
So the boundaries of t are found by simulation (seeded, kept for each looks and α): at each look the quantile of |t|,
among the studies that have not stopped, that spends what is due. The first is Student's quantile exactly; of 4 pairs
out of 12 it is 22, which only an effect of ten standard deviations passes.

Equivalence is declared by two one-sided tests at each look, with one-sided boundaries found the same way: at a true
difference of the margin one of the two statistics is Student's t, so the chance to ever declare it is at most α.

The estimate of a study that stopped early is too large on average; the interval given here is the repeated one
(Jennison and Turnbull 1989, J. R. Stat. Soc. B 51:305): mean ± boundary · s/√n, which holds at all looks at once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
from scipy import stats

from harness.analyse.finite import Interval, finite, level

STUDIES = 2**20
"""Simulated studies behind a boundary. A level of 0.05 is then met to about 0.0002, one of 0.001 to 3 % of itself."""

CHUNK = 2**17  # studies held at once; memory only

FEWEST_CROSSINGS = 100
"""A look that would spend less than this many of STUDIES does not stop (its boundary is infinite) and leaves what is
due to the next: the quantile would be noise. At a level of 0.05 no look from a third of the pairs on is."""

PLANNED_STUDIES = 20_000  # behind `operating`: the standard error of a probability is at most 0.0036

Word = Literal["different", "equivalent", "go on", "inconclusive"]


class Decision(NamedTuple):
    """What the pairs so far allow. `boundary` is of |t| at this look; `ci` is the repeated interval, 1 - alpha."""

    word: Word
    look: int  # 0 is the first
    pairs: int  # used: those up to the look that stopped
    mean: float
    t: float
    boundary: float
    ci: Interval


class Operating(NamedTuple):
    """What a plan does when the true difference is `effect`: shares of studies, and pairs used on average."""

    different: float
    equivalent: float
    inconclusive: float
    expected_pairs: float


def spending(share: float, alpha: float = 0.05, sides: int = 2) -> float:
    """The level spent once `share` of the planned pairs are in: 2 (1 - Φ(z(a/2)/√share)) a side, a = alpha / sides."""
    if not 0 < share <= 1:
        raise ValueError(f"a share of the planned pairs lies in (0, 1], got {share}")
    return float(sides * 2 * stats.norm.sf(stats.norm.isf(level(alpha) / sides / 2) / math.sqrt(share)))


def boundaries(looks: Sequence[int], alpha: float = 0.05, sides: Literal[1, 2] = 2) -> tuple[float, ...]:
    """The boundary of |t| (sides 2) or t (sides 1) at each look; infinite where a look is too early to stop.

    For m arms that share the level give alpha / m.

    Args:
        looks: numbers of pairs, growing, the first at least 2.

    Raises:
        ValueError: the looks do not grow, or alpha is so small that simulation cannot place the last boundary.
    """
    return _boundaries(_checked(looks), level(alpha), sides)


def decide(
    differences: Sequence[float], looks: Sequence[int], margin: float | None = None, alpha: float = 0.05
) -> Decision:
    """The word for pairs in the order in which they were planned; what an earlier look decided stands.

    "different" when |t| reaches its boundary, "equivalent" when both one-sided tests reach theirs. Both at once, a
    difference that is real and smaller than the margin, is "equivalent", as at a fixed n.

    Args:
        differences: as many as one of the `looks`, arm minus baseline.
        margin: of equivalence; None looks for differences only.

    Raises:
        ValueError: the number of differences is not a declared look: a look that was not planned is not allowed.
    """
    planned = _checked(looks)
    values = finite(differences, "a sequential test")
    if values.size not in planned:
        raise ValueError(f"a look is taken at {', '.join(map(str, planned))} pairs only, got {values.size}")
    if margin is not None and not margin > 0:
        raise ValueError(f"a margin of equivalence is greater than 0, got {margin}")
    two, one = boundaries(planned, alpha), boundaries(planned, alpha, sides=1)
    for look, pairs in enumerate(planned):
        part = values[:pairs]
        mean, error = _mean_and_error(part)
        t = _ratio(mean, error)
        half = two[look] * error if error > 0 else 0.0
        equivalent = margin is not None and _reaches(_ratio(margin - abs(mean), error), one[look])
        word: Word = "equivalent" if equivalent else "different" if _reaches(abs(t), two[look]) else "go on"
        if word == "go on" and look == len(planned) - 1:
            word = "inconclusive"
        if word != "go on" or pairs == values.size:
            return Decision(word, look, pairs, mean, t, two[look], (mean - half, mean + half))
    raise AssertionError("values.size is one of the looks")


def operating(
    looks: Sequence[int], effect: float, margin: float | None = None, alpha: float = 0.05, *, seed: int = 0
) -> Operating:
    """What a plan of looks does at a true difference of `effect`; it and `margin` are in standard deviations of the
    difference. Simulated: PLANNED_STUDIES studies of normal differences.
    """
    planned = _checked(looks)
    two, one = boundaries(planned, alpha), boundaries(planned, alpha, sides=1)
    draws = np.random.default_rng(seed).normal(effect, 1.0, (PLANNED_STUDIES, planned[-1]))
    open_, different, equivalent, pairs = np.ones(PLANNED_STUDIES, dtype=bool), 0, 0, 0
    for look, n in enumerate(planned):
        means = draws[:, :n].mean(axis=1)
        errors = draws[:, :n].std(axis=1, ddof=1) / math.sqrt(n)
        pairs += int(open_.sum()) * (n - (planned[look - 1] if look else 0))
        same = open_ & ((margin - np.abs(means)) / errors >= one[look]) if margin is not None else open_ & False
        apart = open_ & ~same & (np.abs(means) / errors >= two[look])
        equivalent, different = equivalent + int(same.sum()), different + int(apart.sum())
        open_ &= ~(same | apart)
    total = PLANNED_STUDIES
    return Operating(different / total, equivalent / total, float(open_.mean()), pairs / total)


def _checked(looks: Sequence[int]) -> tuple[int, ...]:
    planned = tuple(looks)
    if not planned or planned[0] < 2 or any(b <= a for a, b in itertools.pairwise(planned)):
        raise ValueError(f"looks are growing numbers of pairs from 2 on, got {planned}; say 4, 8, 12")
    return planned


@cache
def _boundaries(looks: tuple[int, ...], alpha: float, sides: int) -> tuple[float, ...]:
    if alpha * STUDIES < 5 * FEWEST_CROSSINGS:
        raise ValueError(f"a level of {alpha:.2g} is below what {STUDIES} simulated studies place; test fewer arms")
    t = _simulated(looks) if len(looks) > 1 else np.empty((0, 0))
    open_ = np.ones(len(t), dtype=bool)
    found: list[float] = []
    total, spent = max(looks), 0.0
    for look, n in enumerate(looks):
        due = spending(n / total, alpha, sides) - spent
        if look == 0:  # exact
            found.append(float(stats.t.isf(due / sides, n - 1)))
            spent += due
        elif due * STUDIES < FEWEST_CROSSINGS:
            found.append(math.inf)
        else:
            statistic = np.where(open_, np.abs(t[:, look]) if sides == 2 else t[:, look], -math.inf)
            count = round(due * STUDIES)
            found.append(float(np.partition(statistic, STUDIES - count)[STUDIES - count]))
            spent += due
        if len(t):
            open_ &= (np.abs(t[:, look]) if sides == 2 else t[:, look]) < found[-1]
    return tuple(found)


@cache
def _simulated(looks: tuple[int, ...]) -> np.ndarray:
    """(STUDIES, looks) of t under a true difference of zero, float32."""
    rng = np.random.default_rng(20)
    t = np.empty((STUDIES, len(looks)), dtype=np.float32)
    for start in range(0, STUDIES, CHUNK):
        sums, squares, before = np.zeros(CHUNK), np.zeros(CHUNK), 0
        for look, n in enumerate(looks):
            draws = rng.standard_normal((n - before, CHUNK))
            sums, squares, before = sums + draws.sum(axis=0), squares + (draws**2).sum(axis=0), n
            variance = (squares - sums**2 / n) / (n - 1)
            t[start : start + CHUNK, look] = sums / np.sqrt(n * variance)
    return t


def _mean_and_error(values: np.ndarray) -> tuple[float, float]:
    if values.min() == values.max():
        return float(values[0]), 0.0
    return float(values.mean()), float(values.std(ddof=1)) / math.sqrt(values.size)


def _reaches(t: float, boundary: float) -> bool:
    return math.isfinite(boundary) and t >= boundary


def _ratio(value: float, error: float) -> float:
    if error > 0:
        return value / error
    return math.copysign(math.inf, value) if value else 0.0
