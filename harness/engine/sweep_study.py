"""A sweep as a whole: make the optuna study, run its trials, and plan how its winner is judged."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from harness.data.dataset import TokenizedData
from harness.engine.engines import EngineChoice
from harness.engine.objectives import parse_objectives
from harness.engine.study import slug
from harness.engine.sweep import Sweep, planned
from harness.engine.sweep_storage import locks_folder, make_pruner, make_sampler, opened, settled
from harness.engine.sweep_worker import ORDERS, WorkerOrders
from harness.engine.sweep_workers import run_workers
from harness.plan.match import plan_baseline
from harness.plan.study import Plan
from harness.records.atomic import write_text
from harness.records.sweep import DimensionRecord, ObjectiveRecord, SweepRecord, TrialRecord
from harness.spec.digest import json_sha256
from harness.spec.space import Choices
from harness.spec.tokens import Arm

_STATES: dict[TrialState, Literal["complete", "pruned", "failed"]] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


@dataclass(frozen=True)
class Search:
    """How to search. `storage` None: a SQLite file in the sweep's folder."""

    num_trials: int
    sampler: str
    pruner: str
    storage: str | None
    engine: EngineChoice  # where trials are trained

    def check(self) -> None:
        """Raise `UserError` for an unknown sampler or pruner."""
        make_sampler(self.sampler, 0)
        make_pruner(self.pruner)


def sweep_name(sweep: Sweep) -> str:
    """Made from what is searched, so that the same command finds its trials again."""
    content = {k: v for k, v in sweep.to_json().items() if k not in ("store", "device", "checkpoint_seconds")}
    digest = json_sha256(content)[:8]
    names = "--".join(d.name for d in (*sweep.choices, *sweep.ranges))
    return f"sweep_{slug(names)}_{digest}"


def search(
    sweep: Sweep,
    how: Search,
    out: Path,
    num_workers: int,
    say: Callable[[str], None],
    points: Sequence[dict[str, Any]] | None = None,
) -> list[TrialRecord]:
    """Run trials until enough are settled; returns all that are, by number.

    Args:
        points: the values of trials that must be among them, each once; None for the baseline's.

    Raises:
        UserError: the storage cannot be opened.
        StoreError: the store or the storage cannot be written.
    """
    name = sweep_name(sweep)
    folder = out / name
    url = how.storage or f"sqlite:///{folder.resolve() / 'trials.db'}"
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    orders = WorkerOrders(sweep, name, url, how.sampler, how.pruner, how.num_trials, how.engine)
    write_text(folder / ORDERS, json.dumps(orders.to_json(), indent=1))
    with opened(url) as storage:
        study = optuna.create_study(
            study_name=name,
            storage=storage,
            sampler=make_sampler(how.sampler, sweep.seed),
            pruner=make_pruner(how.pruner),
            directions=[objective.direction for objective in parse_objectives(sweep.objectives)],
            load_if_exists=True,
        )
        before = study.get_trials(deepcopy=False)
        if not before or points is not None:
            for values in [_baseline_values(sweep)] if points is None else points:
                study.enqueue_trial(values, skip_if_exists=True)
        say(f"{name}: {how.num_trials} trials, {len(settled(before))} of them before; {url.rsplit('@', 1)[-1]}")
        locks = locks_folder(url, folder)
        run_workers(
            study, folder, locks, num_workers, how.num_trials, lambda trial: say(trial_text(trial, how.num_trials))
        )
        return [_trial(trial) for trial in settled(study.get_trials())]


def _baseline_values(sweep: Sweep) -> dict[str, Any]:
    """What of the baseline lies in the space: the first trial, for it is what the others must beat."""
    values: dict[str, Any] = {}
    for choice in sweep.choices:
        slot, dot, _ = choice.name.partition(".")
        if not dot and len(choice.values) > 1 and sweep.baseline.choice(slot).variant in choice.values:
            values[choice.name] = sweep.baseline.choice(slot).variant
    own = sweep.recipe.to_json()
    return values | {r.name: own[r.name] for r in sweep.ranges if r.name in own and r.low <= own[r.name] <= r.high}


def trial_text(trial: FrozenTrial, num_trials: int) -> str:
    """`trial 3 of 20: norm=rms lr=0.0021: 2.3051`."""
    chosen = " ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in trial.params.items())
    if trial.state == TrialState.COMPLETE:
        result = ", ".join(f"{value:.5g}" for value in trial.values)
    else:
        result = trial.user_attrs.get("reason", _STATES[trial.state])
    return f"trial {trial.number} (of {num_trials}): {chosen}: {result}"


def _trial(trial: FrozenTrial) -> TrialRecord:
    duration = trial.duration.total_seconds() if trial.duration is not None else 0.0
    return TrialRecord(
        number=trial.number,
        state=_STATES[trial.state],
        params=dict(trial.params),
        values=list(trial.values) if trial.state == TrialState.COMPLETE else [],
        reason=trial.user_attrs.get("reason", ""),
        arm=trial.user_attrs.get("arm", ""),
        key=trial.user_attrs.get("key", ""),
        seconds=duration,
        rungs=[[float(step), loss] for step, loss in sorted(trial.intermediate_values.items())],
    )


def sweep_record(
    sweep: Sweep, how: Search, trials: Sequence[TrialRecord], data: TokenizedData, command: Sequence[str]
) -> SweepRecord:
    """The record of a search, its winner not yet chosen."""
    baseline = Arm(sweep.baseline_name, sweep.baseline)
    first = plan_baseline(baseline, sweep.recipe.tokens_per_step, budget=sweep.budget, num_steps=sweep.num_steps)
    return SweepRecord(
        name=sweep_name(sweep),
        command=list(command),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        baseline=sweep.baseline_name,
        match=sweep.match,
        budget=first.training_flops,
        data=data.to_json(),
        recipe=sweep.recipe.to_json(),
        sampler=how.sampler,
        pruner=how.pruner,
        seed=sweep.seed,
        objectives=[ObjectiveRecord(o.name, o.direction) for o in parse_objectives(sweep.objectives)],
        dimensions=[_dimension(d) for d in (*sweep.choices, *sweep.ranges)],
        trials=list(trials),
        winner=None,
        confirmation="",
        note="",
    )


def _dimension(dimension: Any) -> DimensionRecord:
    if isinstance(dimension, Choices):
        return DimensionRecord(dimension.name, values=list(dimension.values))
    return DimensionRecord(
        dimension.name, kind=dimension.kind, low=dimension.low, high=dimension.high, log=dimension.log
    )


def best_first(record: SweepRecord) -> list[TrialRecord]:
    """The complete trials, by their first objective."""
    sign = 1 if record.objectives[0].direction == "minimize" else -1
    return sorted((t for t in record.trials if t.state == "complete"), key=lambda t: sign * t.values[0])


def confirmation_plan(sweep: Sweep, record: SweepRecord) -> tuple[SweepRecord, Plan | None]:
    """The winner against the baseline, each by its own recipe; no plan, and a note, where there is nothing to judge.

    The baseline gets the best recipe that a trial of it found, so that a gain of the learning rate alone is not
    taken for the variant's.
    """
    ranked = best_first(record)
    if not ranked:
        return dataclasses.replace(record, note="no trial finished, so there is no winner"), None
    winner = ranked[0]
    arm, recipe = planned(sweep, _values(sweep, winner))
    base_trial = next((t for t in ranked if planned(sweep, _values(sweep, t))[0].name == sweep.baseline_name), None)
    first, base_recipe = planned(sweep, _values(sweep, base_trial)) if base_trial else planned(sweep, {})
    record = dataclasses.replace(record, winner=winner.number)
    if arm.name == sweep.baseline_name:
        note = f"trial {winner.number}, the best, is the baseline itself, so there is nothing to confirm"
        return dataclasses.replace(record, note=note), None
    source = f"recipe of trial {base_trial.number}" if base_trial else "shared recipe, for no trial of it finished"
    note = f"the winner is trial {winner.number}; the baseline is trained by the {source}"
    own = () if recipe == base_recipe else ((arm.name, recipe),)
    plan = Plan((dataclasses.replace(first, name=sweep.baseline_name), arm), sweep.match, base_recipe, own)
    return dataclasses.replace(record, note=note), plan


def _values(sweep: Sweep, trial: TrialRecord) -> dict[str, Any]:
    """The trial's parameters with the tokens that hold for every trial."""
    fixed = {c.name: c.values[0] for c in sweep.choices if len(c.values) == 1}
    return {**fixed, **trial.params}
