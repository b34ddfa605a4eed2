"""Screen many arms on a few seeds, confirm the promising ones on fresh seeds: the simplest honest scheme.

The arm that looked best on the screen looked best partly by luck (the winner's curse), and a level shared among all
arms would cost many seeds. Seeds that chose nothing know nothing of that luck: on fresh seeds the estimate of an arm
that went on is unbiased, and Holm need only share the level among the arms that went on, however many were screened
and whatever rule chose them (Cox 1975, Biometrika 62:441, "A note on data-splitting").

A screen looks for arms that are better. Equivalence is not screened: an arm that "looks the same" on three seeds is
any arm that is too noisy to tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from harness.analyse import statistics
from harness.analyse.effects import Direction
from harness.analyse.finite import finite, level
from harness.analyse.statistics import PairedT, paired_t
from harness.records.registration import SCREENING_LEVEL

SIMULATED_STUDIES = 4000  # behind `operating`: the standard error of a probability is at most 0.008


class Screened(NamedTuple):
    """What the screen says of an arm; `reason` is why it goes on or not."""

    arm: str
    mean: float
    p_better: float  # one-sided: small when the arm is better
    goes_on: bool
    reason: str


class Confirmed(NamedTuple):
    """An arm that went on: everything but `screened_mean` is from fresh seeds alone."""

    arm: str
    screened_mean: float
    test: PairedT
    p_adjusted: float  # Holm among the arms that went on
    seeds: tuple[int, ...]


class Operating(NamedTuple):
    """Shares of simulated programmes, and what they cost."""

    family_error: float  # at least one arm without an effect was called different
    power: tuple[float, ...]  # by arm: it went on and was confirmed
    expected_runs: float  # arm x seed, baseline included


def screen(
    differences: Mapping[str, Mapping[int, float]],
    direction: Direction = "lower",
    *,
    screening_level: float = SCREENING_LEVEL,
    most: int | None = None,
) -> list[Screened]:
    """Which arms go on: those better at a lenient one-sided level, at most `most` of them, the surest first.

    Args:
        differences: by arm, arm minus baseline by seed; at least 2 seeds each.
    """
    level(screening_level)
    sign = 1.0 if direction == "higher" else -1.0
    tests = {arm: _better(list(values.values()), sign) for arm, values in differences.items()}
    order = sorted(tests, key=lambda arm: tests[arm][1])
    passed = [arm for arm in order if tests[arm][1] <= screening_level]
    places = len(passed) if most is None else most
    on = passed[:places]
    rows = []
    for arm, (mean, p) in tests.items():
        if arm in on:
            reason = f"better at the screening level: p = {p:.2g} <= {screening_level:g}"
        elif arm in passed:
            reason = f"better at the screening level, but {places} arms were surer and only {places} go on"
        else:
            reason = f"not better at the screening level: p = {p:.2g} > {screening_level:g}"
        rows.append(Screened(arm, mean, p, arm in on, reason))
    return rows


def confirm(
    screened: Sequence[Screened],
    screening_seeds: Sequence[int],
    fresh: Mapping[str, Mapping[int, float]],
    confidence: float = 0.95,
) -> list[Confirmed]:
    """The arms that went on, judged on fresh seeds only.

    Args:
        screening_seeds: every seed the screen has seen; fresh: differences by arm and seed.

    Raises:
        ValueError: a confirming seed was in the screen, or `fresh` is not exactly the arms that went on.
    """
    arms = [row for row in screened if row.goes_on]
    if {row.arm for row in arms} != set(fresh):
        raise ValueError(f"exactly the arms that went on are confirmed: {[r.arm for r in arms]}, got {list(fresh)}")
    used = set(screening_seeds)
    if seen := sorted({seed for values in fresh.values() for seed in values} & used):
        raise ValueError(f"an arm is confirmed on seeds the screen has not seen, got {seen}; use others")
    tests = [paired_t(list(fresh[row.arm].values()), confidence) for row in arms]
    adjusted = statistics.holm([test.p for test in tests])
    return [
        Confirmed(row.arm, row.mean, test, p, tuple(fresh[row.arm]))
        for row, test, p in zip(arms, tests, adjusted, strict=True)
        if p is not None
    ]


def operating(
    effects: Sequence[float],
    screen_pairs: int,
    confirm_pairs: int,
    alpha: float = 0.05,
    *,
    screening_level: float = SCREENING_LEVEL,
    seed: int = 0,
) -> Operating:
    """What a programme does when the arms' true differences are `effects` (lower is better), by simulation.

    Effects are in standard deviations of a difference; arms share their baseline, so differences have correlation 1/2.
    """
    truth = np.asarray(effects, dtype=np.float64)
    rng = np.random.default_rng(seed)
    t, _ = _t_of(rng, truth, screen_pairs)
    goes_on = stats.t.cdf(t, screen_pairs - 1) <= screening_level
    t, df = _t_of(rng, truth, confirm_pairs)
    p = np.where(goes_on, 2 * stats.t.sf(np.abs(t), df), 2.0)  # above every p: arms that stayed behind come last
    order = np.argsort(p, axis=1)
    steps = goes_on.sum(axis=1)[:, None] - np.arange(len(truth))
    passed = (np.take_along_axis(p, order, axis=1) * steps <= level(alpha)) & (steps > 0)
    rejected = np.zeros_like(passed)
    np.put_along_axis(rejected, order, np.logical_and.accumulate(passed, axis=1), axis=1)
    arms = steps[:, 0]
    runs = screen_pairs * (len(truth) + 1) + confirm_pairs * (arms + (arms > 0))  # the baseline runs along
    errors = (rejected & (truth == 0)).any(axis=1)
    return Operating(float(errors.mean()), tuple(rejected.mean(axis=0).tolist()), float(runs.mean()))


def _better(values: Sequence[float], sign: float) -> tuple[float, float]:
    finite(values, "a screen")
    mean, sd, n = statistics.mean_and_sd(values)
    if sd == 0:
        return mean, 0.0 if sign * mean > 0 else 1.0
    return mean, float(stats.t.sf(sign * mean * math.sqrt(n) / sd, n - 1))


def _t_of(rng: np.random.Generator, truth: np.ndarray, pairs: int) -> tuple[np.ndarray, int]:
    shared = rng.normal(0, math.sqrt(0.5), (SIMULATED_STUDIES, pairs, 1))
    own = rng.normal(0, math.sqrt(0.5), (SIMULATED_STUDIES, pairs, len(truth)))
    differences = truth + own - shared
    return differences.mean(axis=1) / (differences.std(axis=1, ddof=1) / math.sqrt(pairs)), pairs - 1
