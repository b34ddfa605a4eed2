"""What a sweep is, and what one of its trials does: choose a spec and a recipe, train at the matched budget, score."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import optuna

from harness.data import dataset
from harness.engine.job import Job, data_folder
from harness.engine.objectives import Objective, TrialRun, parse_objectives, values_of
from harness.plan.ledger import count
from harness.plan.match import Match, PlannedArm, match_arm, plan_baseline
from harness.records.record import RunRecord
from harness.spec.recipe import Recipe
from harness.spec.space import RECIPE, Choices, Dimension, Range
from harness.spec.spec import Spec
from harness.spec.tokens import Arm, parse_arms
from harness.train.device import choose_device
from variants import registry
from variants.errors import UserError

RUNGS = (1 / 27, 1 / 9, 1 / 3)
"""Shares of the FLOP budget at which a trial's loss is reported and it may be pruned: halving by 3, as Li et al. 2018
(arXiv:1603.06560) suggest."""

RUNG_UNIT = 1000
"""optuna's step at the whole budget; a rung at share r is step RUNG_UNIT * r, alike for arms of other lengths."""


class TrialFailedError(RuntimeError):
    """The run of a trial diverged or failed; the trial is recorded as failed, and the sweep goes on."""


@dataclass(frozen=True)
class FixedArm:
    """An arm that is planned already: its width and length are no trial's to choose."""

    name: str
    spec: Spec
    num_steps: int


@dataclass(frozen=True)
class Sweep:
    """Everything that decides a sweep, as plain data that crosses a process boundary as JSON.

    Trials are trained on `seed`; the winner is judged on other ones. With `arms`, a trial chooses one of them by name,
    as the value `arm`, and its seed too.
    """

    baseline_name: str
    baseline: Spec
    recipe: Recipe
    match: Match
    budget: float | None
    num_steps: int | None
    choices: tuple[Choices, ...]
    ranges: tuple[Range, ...]
    objectives: str
    seed: int
    data_sha256: str
    store: str
    device: str
    checkpoint_seconds: float
    arms: tuple[FixedArm, ...] = ()

    def to_json(self) -> dict[str, Any]:
        arms = [{"name": arm.name, "spec": arm.spec.to_json(), "num_steps": arm.num_steps} for arm in self.arms]
        own = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "arms"}
        plain = {name: [dataclasses.asdict(d) for d in own[name]] for name in ("choices", "ranges")}
        return {
            **own,
            **plain,
            "recipe": dataclasses.asdict(self.recipe),
            "baseline": self.baseline.to_json(),
            **({"arms": arms} if arms else {}),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Sweep:
        return cls(
            **{
                **data,
                "baseline": Spec.from_json(data["baseline"]),
                "recipe": Recipe(**data["recipe"]),
                "choices": tuple(Choices(c["name"], tuple(c["values"])) for c in data["choices"]),
                "ranges": tuple(Range(**r) for r in data["ranges"]),
                "arms": tuple(FixedArm(**{**a, "spec": Spec.from_json(a["spec"])}) for a in data.get("arms", ())),
            }
        )


def suggest(trial: optuna.trial.BaseTrial, sweep: Sweep) -> dict[str, Any]:
    """A value for every dimension that applies: slots first, then the options that the chosen variants have."""
    dimensions: list[Dimension] = [*sweep.choices, *sweep.ranges]
    values: dict[str, Any] = {}
    for dimension in sorted(dimensions, key=lambda d: "." in d.name):
        if _applies(dimension.name, values, sweep.baseline):
            values[dimension.name] = _suggest_one(trial, dimension)
    return values


def _suggest_one(trial: optuna.trial.BaseTrial, dimension: Dimension) -> Any:
    if isinstance(dimension, Choices):
        if len(dimension.values) == 1:  # holds for every trial, so nothing for a sampler
            return dimension.values[0]
        return trial.suggest_categorical(dimension.name, dimension.values)
    if dimension.kind == "int":
        return trial.suggest_int(dimension.name, int(dimension.low), int(dimension.high), log=dimension.log)
    return trial.suggest_float(dimension.name, dimension.low, dimension.high, log=dimension.log)


def _applies(name: str, values: dict[str, Any], baseline: Spec) -> bool:
    slot, dot, option = name.partition(".")
    if not dot or slot == "model":
        return True
    variant = registry.canonical(slot, values.get(slot, baseline.choice(slot).variant))
    return option in registry.options(slot, variant)


def planned(sweep: Sweep, values: dict[str, Any]) -> tuple[PlannedArm, Recipe]:
    """The matched arm and the recipe of a trial's values.

    Raises:
        UserError: a variant refuses the values, or the arm cannot be matched.
    """
    own = {name: value for name, value in values.items() if name in RECIPE}
    recipe = dataclasses.replace(sweep.recipe, **own)
    if sweep.arms:
        fixed = next(arm for arm in sweep.arms if arm.name == values["arm"])
        return PlannedArm(fixed.name, count(fixed.spec), fixed.num_steps, recipe.tokens_per_step, 0.0), recipe
    tokens = [f"{name}={value}" for name, value in values.items() if name not in own]
    baseline = Arm(sweep.baseline_name, sweep.baseline)
    first = plan_baseline(baseline, recipe.tokens_per_step, budget=sweep.budget, num_steps=sweep.num_steps)
    arms = parse_arms(tokens, sweep.baseline)
    return (match_arm(arms[0], first, sweep.match) if arms else first), recipe


def job_of(sweep: Sweep, values: dict[str, Any], objectives: Sequence[Objective]) -> tuple[Job, PlannedArm]:
    """The run of a trial's values."""
    arm, recipe = planned(sweep, values)
    job = Job(
        spec=arm.ledger.spec,
        recipe=recipe,
        num_steps=arm.num_steps,
        training_flops_per_token=arm.ledger.training_flops_per_token,
        seed=values.get("seed", sweep.seed),
        data_sha256=sweep.data_sha256,
        store=sweep.store,
        device=sweep.device,
        checkpoint_seconds=sweep.checkpoint_seconds,
        scores=tuple(o.request for o in objectives if o.request is not None),
    )
    return job, arm


class Run(Protocol):
    """`execute` of harness/engine/job.py, or the same on an engine (harness/engine/sweep_elsewhere.py)."""

    def __call__(
        self, job: Job, *, on_progress: Callable[[int, float], None], should_stop: Callable[[], bool]
    ) -> RunRecord | None: ...


def run_trial(trial: optuna.Trial, sweep: Sweep, run: Run, should_stop: Callable[[], bool]) -> list[float]:
    """The objective of optuna: train and score what the trial suggests; the run store is shared with every study.

    Raises:
        optuna.TrialPruned: the pruner gave it up at a rung; its checkpoint stays, so it may go on later.
        TrialFailedError: it cannot be planned, it diverged, failed, or has no value of an objective.
        KeyboardInterrupt: told to stop.
    """
    objectives = parse_objectives(sweep.objectives)
    values = suggest(trial, sweep)
    try:
        job, arm = job_of(sweep, values, objectives)
    except UserError as error:
        raise TrialFailedError(str(error)) from error
    trial.set_user_attr("arm", arm.name)
    trial.set_user_attr("key", job.key)
    rungs = Rungs(trial, job.num_steps, enabled=len(objectives) == 1)
    record = run(job, on_progress=rungs.progress, should_stop=lambda: rungs.pruned or should_stop())
    if record is None:
        if rungs.pruned:
            raise optuna.TrialPruned
        raise KeyboardInterrupt
    if record.status != "finished":
        raise TrialFailedError(f"the run {record.status}: {record.reason}")
    rungs.report_curve(record)
    device = choose_device(job.device)
    data = dataset.load(data_folder(job.store), job.data_sha256)
    try:
        return values_of(
            objectives, TrialRun(record, arm.ledger, data, Path(job.store), device, job.recipe.tokens_per_step)
        )
    except UserError as error:
        raise TrialFailedError(str(error)) from error


class Rungs:
    """Reports a trial's training loss as it passes the rungs, and asks the pruner.

    The loss at a rung is of a schedule that has not come down yet: it ranks trials, and is no result.
    """

    def __init__(self, trial: optuna.Trial, num_steps: int, *, enabled: bool) -> None:
        self.trial, self.num_steps, self.enabled = trial, num_steps, enabled
        self.waiting = list(RUNGS)
        self.losses: list[float] = []
        self.pruned = False

    def progress(self, step: int, loss: float) -> None:
        """Take one report of the trainer."""
        self.losses.append(loss)
        while self.enabled and self.waiting and step >= self.waiting[0] * self.num_steps:
            share = self.waiting.pop(0)
            self._report(share, sum(self.losses) / len(self.losses))
            self.losses = [loss]
            self.pruned = self.pruned or self.trial.should_prune()

    def report_curve(self, record: RunRecord) -> None:
        """Report the rungs of a run that was trained before, so that later trials are judged against it too."""
        for share in self.waiting if self.enabled else ():
            until = [loss for step, _, loss in record.curve if step <= math.ceil(share * self.num_steps)]
            if until:
                self._report(share, until[-1])

    def _report(self, share: float, loss: float) -> None:
        self.trial.report(loss, round(share * RUNG_UNIT))
