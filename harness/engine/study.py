"""A plan on data becomes jobs, and the jobs' records become a study."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.data.dataset import TokenizedData
from harness.engine.environment import data_facts, environment
from harness.engine.job import Job
from harness.engine.scoring import ScoreRequest, known_scores, missing_scores
from harness.plan.audit import audit
from harness.plan.match import PlannedArm
from harness.plan.study import Plan
from harness.records.record import ArmRecord, StudyRecord, StudyRun
from harness.records.registration import register
from harness.records.store import RunStore
from harness.spec.digest import json_sha256
from harness.train.compile import StepKind
from harness.train.manner import PLAIN, Manner
from harness.train.optimizer import parameter_groups
from harness.train.parallel import Parallel

MOST_PROBED = 100
"""Arms whose operators are listed: 20 ms each, and nobody reads more lists than that. Assumption."""

LARGEST_PROBED = 50_000_000
"""Parameters of an arm whose operators are listed by running it once. Assumption: a second or two on one core."""


@dataclass(frozen=True)
class Task:
    """A job and what it stands for in a study."""

    arm: str
    seed: int
    job: Job

    @property
    def name(self) -> str:
        return f"{self.arm} seed {self.seed}"

    @cached_property
    def key(self) -> str:
        """Of the run, which is asked for again and again; 60 us each."""
        return self.job.key


def tasks_of(
    plan: Plan,
    data: TokenizedData,
    seeds: Sequence[int],
    store: Path,
    device: str,
    checkpoint_seconds: float,
    *,
    scores: Sequence[ScoreRequest] = (),
    step: StepKind = "eager",
    parallel: Parallel | None = None,
    manner: Manner = PLAIN,
    recompute_activations: bool = False,
) -> list[Task]:
    """The runs of a study, seed by seed, so that complete pairs come early."""
    return [
        Task(
            arm.name,
            seed,
            Job(
                spec=arm.ledger.spec,
                recipe=plan.recipe_of(arm.name),
                num_steps=arm.num_steps,
                training_flops_per_token=arm.ledger.training_flops_per_token,
                seed=seed,
                data_sha256=data.sha256,
                store=str(store),
                device=device,
                checkpoint_seconds=checkpoint_seconds,
                scores=tuple(scores),
                step=step,
                parallel=parallel,
                manner=manner,
                recompute_activations=recompute_activations,
                from_trunk=plan.from_trunk,
            ),
        )
        for seed in seeds
        for arm in plan.arms
    ]


@dataclass(frozen=True)
class Progress:
    """What the store has of a study: keys of runs that need no training, and the tasks that need work."""

    trained: set[str]
    waiting: list[Task]


def progress(tasks: Sequence[Task], store: RunStore) -> Progress:
    """Which runs are trained, and which tasks have a run to train or a score to compute."""
    trained, waiting = set(), []
    for task in tasks:
        record = store.get(task.key)
        if record is not None and record.status != "failed":
            trained.add(record.key)
            if not missing_scores(record, task.job.scores, store):
                continue
        waiting.append(task)
    return Progress(trained, waiting)


def collect(tasks: Sequence[Task], store: RunStore, reused: set[str]) -> list[StudyRun]:
    """The runs of a study that have a record, with the scores that were asked for and are there."""
    runs = []
    for task in tasks:
        record = store.get(task.key)
        if record is not None:
            wanted = task.job.scores if record.status == "finished" else ()
            scores = tuple(score for score in known_scores(record, wanted, store) if score is not None)
            runs.append(StudyRun(task.arm, task.seed, record.key in reused, record, scores))
    return runs


def arm_records(plan: Plan) -> list[ArmRecord]:
    """What a report needs to know of every arm, without torch."""
    named = {arm.name: arm for arm in plan.arms}
    told = {cell.arm.name: named[cell.against] for cell in plan.design.cells} if plan.design else {}
    return [_arm_record(arm, plan, told.get(arm.name, plan.baseline)) for arm in plan.arms]


def _arm_record(arm: PlannedArm, plan: Plan, against: PlannedArm) -> ArmRecord:
    """`against` is the arm that the design compares it with."""
    own, shared = plan.recipe_of(arm.name).to_json(), plan.recipe.to_json()
    return ArmRecord(
        name=arm.name,
        spec=arm.ledger.spec.to_json(),
        num_params=arm.ledger.num_params,
        training_flops_per_token=arm.ledger.training_flops_per_token,
        training_flops=arm.training_flops,
        num_tokens=arm.num_tokens,
        num_steps=arm.num_steps,
        mismatch=arm.mismatch,
        recipe={name: value for name, value in own.items() if value != shared[name]},
        audit={} if arm is plan.baseline else audit_of(against, arm, probe=len(plan.arms) <= MOST_PROBED),
        hardware_flops_per_token=arm.ledger.hardware_flops_per_token,
    )


def audit_of(baseline: PlannedArm, arm: PlannedArm, *, probe: bool = True) -> dict[str, Any]:
    """What else differs between an arm and the one it is compared with; its parameters are summed up by role.

    Args:
        probe: whether to list the operators too, by running both arms once.
    """
    small = probe and max(baseline.ledger.total_params, arm.ledger.total_params) <= LARGEST_PROBED
    specs = (baseline.ledger.spec, arm.ledger.spec)
    try:
        found = audit(*specs, parameter_groups, run=small).to_json()
    except Exception:  # what an arm raises when it is run is its runs' failure, and their records say so
        found = audit(*specs, parameter_groups, run=False).to_json()
    del found["parameters"]
    return found


def study_record(
    plan: Plan,
    data: TokenizedData,
    *,
    command: Sequence[str],
    seeds: Sequence[int],
    margin: float,
    device: str,
    scores: Sequence[str] = (),
    looks: Sequence[int] = (),
    step: StepKind = "eager",
    family: str = "holm",
    screen: int = 0,
    also: Sequence[Any] = (),
    parallel: Parallel | None = None,
    manner: Manner = PLAIN,
) -> StudyRecord:
    """Everything decided before the first run. The name is made from what is compared and on what.

    Args:
        family, screen: how the level is shared among the arms, and how many seeds only choose which of them go on.
        also: what else was decided that makes it another study, as plain data.
    """
    arms = arm_records(plan)
    design = plan.design.to_json(plan.baseline.name) if plan.design is not None else {}
    beside = [
        *([] if step == "eager" else [step]),
        *([] if parallel is None else [str(parallel)]),
        *([] if manner == PLAIN else [str(manner)]),
        *([list(looks)] if len(looks) > 1 else []),
        *([family] if family != "holm" else []),
        *([{"screen": screen}] if screen else []),
        *([design] if design else []),
        *also,
    ]
    return StudyRecord(
        name=study_name(arms, design, data.name, [*_decided(plan, arms, data, seeds, margin), *beside]),
        command=list(command),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        baseline=plan.baseline.name,
        match=plan.match,
        budget=plan.baseline.training_flops,
        margin=margin,
        seeds=list(seeds),
        recipe=plan.recipe.to_json(),
        data=data_facts(data),
        environment=environment(
            plan.baseline.ledger.spec,
            device,
            step,
            **({} if parallel is None else {"parallel": str(parallel)}),
            **({} if manner == PLAIN else {"manner": str(manner)}),
        ),
        arms=arms,
        registration=register(
            baseline=plan.baseline.name,
            arms=[arm.name for arm in arms[1:]],
            match=plan.match,
            margin=margin,
            seeds=seeds,
            scores=scores,
            looks=looks,
            family=family,
            screen=list(seeds)[:screen],
            design=design,
            cap=math.log(data.vocab_size) * len(data.validation) / data.validation_bytes,
        ),
        design=design,
    )


def _decided(
    plan: Plan, arms: Sequence[ArmRecord], data: TokenizedData, seeds: Sequence[int], margin: float
) -> list[Any]:
    """What every study decides, as plain data."""
    content = [[a.spec, a.num_steps, *([a.recipe] if a.recipe else [])] for a in arms]
    return [content, plan.recipe.to_json(), plan.match, data.sha256, list(seeds), margin]


def study_name(arms: Sequence[ArmRecord], design: dict[str, Any], data_name: str, decided: Sequence[Any]) -> str:
    """`norm=rms_stdlib_1a2b3c4d`: what is compared, on what, and a digest of all that was decided."""
    names = "--".join(a.name for a in arms[1:]) or arms[0].name
    if design:
        names = "-".join([*design["kinds"], *(factor["name"] for factor in design["factors"])])
    return f"{slug(names)}_{slug(data_name)}_{json_sha256(list(decided))[:8]}"


def slug(text: str) -> str:
    """Text from a user as one safe path component of at most 60 characters."""
    return re.sub(r"[^A-Za-z0-9=.]+", "-", Path(text).name if "/" in text else text).strip("-.")[:60] or "study"
