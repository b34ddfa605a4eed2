"""What a trunk with branches saves against runs that are each annealed on their own, and whether the two agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analyse.finite import Interval
from harness.analyse.outcomes import outcomes
from harness.analyse.scores import PRIMARY
from harness.analyse.statistics import mean, paired_t
from harness.records.ladder import Rung
from harness.records.record import ArmRecord, StudyRecord
from harness.spec.recipe import Recipe


@dataclass(frozen=True)
class Saving:
    """Training FLOPs of one seed of an arm over all rungs."""

    arm: str
    alone: float  # every run by itself
    trunk: float  # the longest trunk once, and a decay a rung
    leaves: tuple[int, ...]  # step at which each rung's branch leaves

    @property
    def share(self) -> float:
        return 1 - self.trunk / self.alone


@dataclass(frozen=True)
class Agreement:
    """A rung both ways, over the seeds that have both: branches minus runs annealed alone, in nats per byte.

    `losses` are of the arm itself, `difference` of (arm - baseline); None for the baseline. An interval is the paired t
    interval, None for one seed.
    """

    label: str
    arm: str
    num_seeds: int
    losses: tuple[float, Interval | None]
    difference: tuple[float, Interval | None] | None


def savings(studies: Sequence[StudyRecord]) -> list[Saving]:
    """One an arm; `studies` are those of the rungs. A trunk ends where the longest branch leaves it."""
    return [_saving(arm.name, [_arm(study, arm.name) for study in studies], studies) for arm in studies[0].arms]


def total_flops(studies: Sequence[StudyRecord], trunk: bool) -> float:
    """Training FLOPs of all runs of a ladder, nothing reused."""
    found = savings(studies)
    return len(studies[0].seeds) * sum(s.trunk if trunk else s.alone for s in found)


def agreements(rungs: Sequence[Rung], score: str = PRIMARY) -> list[Agreement]:
    """Every rung and arm of which both are known, the baseline first."""
    found = [_agreement(rung, arm.name, score) for rung in rungs for arm in rung.study.arms]
    return [agreement for agreement in found if agreement is not None]


def recipe_of(study: StudyRecord, arm: ArmRecord) -> Recipe:
    """How an arm of a study was trained."""
    return Recipe(**{**study.recipe, **arm.recipe})


def _saving(name: str, arms: Sequence[ArmRecord], studies: Sequence[StudyRecord]) -> Saving:
    leaves = tuple(recipe_of(s, a).branch_step(a.num_steps) for a, s in zip(arms, studies, strict=True))
    shared = [arm.training_flops * step / arm.num_steps for arm, step in zip(arms, leaves, strict=True)]
    alone = sum(arm.training_flops for arm in arms)
    return Saving(name, alone, alone - sum(shared) + max(shared), leaves)


def _agreement(rung: Rung, arm: str, score: str) -> Agreement | None:
    if rung.separate is None or arm not in [a.name for a in rung.separate[0].arms]:
        return None
    names = list(dict.fromkeys((arm, rung.study.baseline)))
    tables = [
        [outcomes(study, runs, name, score).values for name in names]
        for study, runs in ((rung.study, rung.runs), rung.separate)
    ]
    seeds = sorted(set.intersection(*(set(values) for table in tables for values in table)))
    if not seeds:
        return None
    (branch, *branch_base), (alone, *alone_base) = tables
    gaps = [branch[s] - alone[s] for s in seeds]
    of_base = [branch_base[0][s] - alone_base[0][s] for s in seeds] if branch_base else None
    between = None if of_base is None else _level([gap - base for gap, base in zip(gaps, of_base, strict=True)])
    return Agreement(rung.label, arm, len(seeds), _level(gaps), between)


def _level(values: Sequence[float]) -> tuple[float, Interval | None]:
    average = mean(values)
    assert average is not None
    return average, paired_t(values).ci if len(values) > 1 else None


def _arm(study: StudyRecord, name: str) -> ArmRecord:
    return next(arm for arm in study.arms if arm.name == name)
