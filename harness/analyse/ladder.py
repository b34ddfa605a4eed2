"""An arm's way up a ladder of budgets: what it is worth in compute at each rung, and whether that changes with scale.

    climbs(rungs)            one Climb an arm
    climb(rungs, arm)        of one arm
    baseline_fit(rungs)      the baseline's law with its interval
    ranks(rungs)             whether arms rank alike at two rungs

`rungs` are records.ladder.Rung: a study and its runs each. Nothing here needs torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.analyse.multiplier_curve import Fitted, Trend, fitted, multiplier_curve, multiplier_trend
from harness.analyse.outcomes import outcomes
from harness.analyse.resources import COUNTED, Resource, in_resource
from harness.analyse.scaling import Ladder, Multiplier, RankStability, SlopeDifference, multipliers_on, rank_stability
from harness.analyse.scaling import slope_difference as slope_of
from harness.analyse.scores import PRIMARY
from harness.analyse.throughput import timings
from harness.records.ladder import Rung
from harness.records.record import ArmRecord

FEWEST_RUNGS = 2


@dataclass(frozen=True)
class Climb:
    """An arm over the rungs at which it and the baseline have finished seeds, from the smallest budget up.

    `budgets` are the baseline's training FLOPs and `spent` the arm's. Losses are (seeds, rungs). `worth` has the
    multipliers by unit, FLOPs, tokens and seconds, and `absent` why a unit is missing. `reason` says why there is
    nothing at all.
    """

    arm: str
    baseline: str
    labels: list[str]
    budgets: list[float]
    spent: list[float]
    seeds: list[int]
    lost: list[int]  # planned seeds that lack a run at one of the rungs
    before: np.ndarray
    after: np.ndarray
    worth: dict[str, list[Multiplier]]
    absent: dict[str, str]
    curve: list[Multiplier]
    slope: SlopeDifference | None
    trend: Trend | None
    reason: str

    @property
    def differences(self) -> list[float]:
        """The mean paired difference of each rung."""
        return [] if self.reason else (self.after - self.before).mean(axis=0).tolist()


@dataclass(frozen=True)
class RankChange:
    """The arms' order, the baseline among them, at two rungs. `reason` says why it is not known."""

    smaller: str
    larger: str
    stability: RankStability | None
    reason: str = ""


def climbs(rungs: Sequence[Rung], score: str = PRIMARY) -> list[Climb]:
    """Every arm but the baseline, in the order of the first rung's study."""
    return [climb(rungs, arm.name, score) for arm in rungs[0].study.arms if arm.name != rungs[0].study.baseline]


def climb(rungs: Sequence[Rung], arm: str, score: str = PRIMARY) -> Climb:
    """One arm. A rung without a finished pair is left out, then a seed that lacks a run at one of the others."""
    baseline = rungs[0].study.baseline
    used, seeds, (before, after) = _matrices(rungs, (baseline, arm), score)
    lost = [seed for seed in rungs[0].study.seeds if seed not in seeds]
    base_arms, own_arms = ([arm_of(rung, name) for rung in used] for name in (baseline, arm))
    budgets, spent = ([a.training_flops for a in arms] for arms in (base_arms, own_arms))
    labels = [rung.label for rung in used]
    reason = _too_little(len(used), seeds, arm, baseline)
    if reason:
        return Climb(arm, baseline, labels, budgets, spent, seeds, lost, before, after, {}, {}, [], None, None, reason)
    ladder = Ladder(budgets, before)
    in_flops = multipliers_on(ladder, after, spent=spent)
    worth, absent = {"FLOPs": in_flops}, {}
    base_tokens, own_tokens = [float(a.num_tokens) for a in base_arms], [float(a.num_tokens) for a in own_arms]
    worth["tokens"] = in_resource(in_flops, budgets, Resource("tokens", base_tokens, own_tokens, [COUNTED] * len(used)))
    seconds = _seconds(used, rungs, arm)
    if isinstance(seconds, Resource):
        worth["seconds"] = in_resource(in_flops, budgets, seconds)
    else:
        absent["seconds"] = seconds
    enough = len(seeds) * (len(used) - 1) > 1
    return Climb(
        arm,
        baseline,
        labels,
        budgets,
        spent,
        seeds,
        lost,
        before,
        after,
        worth,
        absent,
        multiplier_curve(ladder, Ladder(spent, after)),
        slope_of(budgets, before, after) if enough else None,
        multiplier_trend(ladder, after, in_flops),
        "",
    )


def baseline_fit(rungs: Sequence[Rung], score: str = PRIMARY) -> Fitted | None:
    """The law of the baseline over all its seeds that finished every rung; None with fewer than 4 rungs or no seed."""
    name = rungs[0].study.baseline
    used, seeds, (losses,) = _matrices(rungs, (name,), score)
    if not seeds or len(used) < FEWEST_RUNGS:
        return None
    return fitted(Ladder([arm_of(rung, name).training_flops for rung in used], losses))


def ranks(rungs: Sequence[Rung], score: str = PRIMARY) -> list[RankChange]:
    """Each rung and the next, then the smallest and the largest, by the arms' mean losses over common seeds."""
    pairs = list(itertools.pairwise(rungs))
    if len(rungs) > FEWEST_RUNGS:
        pairs.append((rungs[0], rungs[-1]))
    return [_rank_change(small, large, score) for small, large in pairs]


def arm_of(rung: Rung, name: str) -> ArmRecord:
    """The record of an arm at a rung."""
    return next(arm for arm in rung.study.arms if arm.name == name)


def _rank_change(small: Rung, large: Rung, score: str) -> RankChange:
    names = [arm.name for arm in small.study.arms]
    used, seeds, tables = _matrices((small, large), names, score)
    if len(used) < FEWEST_RUNGS or not seeds:
        return RankChange(small.label, large.label, None, "no seed finished with every arm at both rungs")
    means = [table.mean(axis=0) for table in tables]
    found = rank_stability([m[0] for m in means], [m[1] for m in means])
    reason = "ranks need 3 arms, the baseline among them" if found.kendall is None else ""
    return RankChange(small.label, large.label, found, reason)


def _matrices(
    rungs: Sequence[Rung], names: Sequence[str], score: str
) -> tuple[list[Rung], list[int], list[np.ndarray]]:
    """The rungs at which all these arms share a finished seed, the seeds they share at all of those, and a
    (seeds, rungs) table of each arm.
    """
    values = [[outcomes(rung.study, rung.runs, name, score).values for name in names] for rung in rungs]
    shared = [set.intersection(*(set(v) for v in of_rung)) for of_rung in values]
    kept = [i for i, seeds in enumerate(shared) if seeds]
    common = set.intersection(*(shared[i] for i in kept)) if kept else set()
    seeds = [seed for seed in rungs[0].study.seeds if seed in common]
    tables = [
        np.array([[values[i][a][seed] for i in kept] for seed in seeds]).reshape(len(seeds), len(kept))
        for a in range(len(names))
    ]
    return [rungs[i] for i in kept], seeds, tables


def _too_little(num_rungs: int, seeds: Sequence[int], arm: str, baseline: str) -> str:
    if num_rungs < FEWEST_RUNGS:
        return f"{arm} and {baseline} finished a common seed at {num_rungs} of the rungs, and a multiplier needs two"
    return "" if seeds else f"no seed of {arm} and {baseline} finished at every rung"


def _seconds(used: Sequence[Rung], rungs: Sequence[Rung], arm: str) -> Resource | str:
    """Seconds of training at each rung by the speed that was measured there, or at a rung of the same models; the
    reason where there is none.
    """
    baseline, own, factors = [], [], []
    for rung in used:
        speeds = next((s for s in (_speeds(other, arm) for other in _alike(rung, rungs, arm)) if s is not None), None)
        if speeds is None:
            return f"training speed was not measured at {rung.label}; --score speed does"
        per_second, (ratio, low, high) = speeds
        baseline.append(arm_of(rung, rung.study.baseline).num_tokens / per_second)
        own.append(arm_of(rung, arm).num_tokens / (per_second * ratio))
        factors.append((low / ratio, high / ratio))
    return Resource("seconds", baseline, own, factors)


def _alike(rung: Rung, rungs: Sequence[Rung], arm: str) -> list[Rung]:
    """The rung itself, then those that compare the same two models."""

    def models(other: Rung) -> list[object]:
        return [arm_of(other, name).spec for name in (other.study.baseline, arm)]

    return [rung, *(other for other in rungs if other is not rung and models(other) == models(rung))]


def _speeds(rung: Rung, arm: str) -> tuple[float, tuple[float, float, float]] | None:
    """The baseline's training tokens a second, and the arm's as a share of it with its 95 % interval."""
    measured = next((m for m in rung.measurements if m.name == "throughput" and m.status == "finished"), None)
    if measured is None:
        return None
    training = timings(measured.detail).of("train")
    row = next((row for row in training if row.arm == arm), None)
    if row is None or row.against is None or training[0].tokens_per_s is None:
        return None
    ratio, low, high = (1 + percent / 100 for percent in row.against.percents)
    return training[0].tokens_per_s.median, (ratio, low, high)
