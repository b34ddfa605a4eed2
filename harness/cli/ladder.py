"""Run a ladder: a study a rung, all registered before the first run, and then what they say together."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.analyse.ladder import baseline_fit, climbs, ranks
from harness.analyse.ladder_text import fit_text, rank_text, sentences
from harness.analyse.looks import compare_study
from harness.analyse.schedules import agreements, savings, total_flops
from harness.analyse.text import count, duration
from harness.cli import show
from harness.cli.design_flags import baseline_name, family_of, study_seeds
from harness.cli.display import StudyDisplay
from harness.cli.ladder_flags import check_ladder_flags, rule_of, rung_arguments, rungs_for
from harness.cli.prepare import check_parallel, check_tasks, choose_step_for, leave_nothing_behind, prepare_data
from harness.cli.run import LOG, Place, run_study
from harness.data.dataset import TokenizedData
from harness.engine.choose_scores import ChosenScores, choose_scores
from harness.engine.job import data_folder
from harness.engine.study import Task, collect, progress, slug, study_record, tasks_of
from harness.plan.ladder import PlannedRung, annealed_alone
from harness.plan.study import Plan
from harness.records.calibration import CalibrationRecord, read_calibration
from harness.records.ladder import (
    RUNGS,
    SEPARATE,
    LadderRecord,
    Rung,
    RungRecord,
    read_ladder,
    register_ladder,
    write_ladder,
)
from harness.records.record import StudyRecord, to_json
from harness.records.seal import finite
from harness.records.store import RunStore
from harness.records.study import as_registered, write_study
from harness.reporting.ladder import write_ladder_report
from harness.reporting.section import Material
from harness.train.device import choose_device
from variants.errors import UserError


@dataclass(frozen=True)
class Step:
    """A rung about to be run: its plan, its study, what it is scored on and where."""

    label: str
    plan: Plan
    study: StudyRecord
    scores: ChosenScores
    place: Place  # whose `out` is the folder of the rungs

    def tasks(self, data: TokenizedData, plan: Plan | None = None) -> list[Task]:
        """The runs of the rung, or of another plan of it."""
        place, plan = self.place, plan or self.plan
        return tasks_of(
            plan,
            data,
            self.study.seeds,
            place.store,
            place.device,
            place.checkpoint_seconds,
            scores=self.scores.requests,
            step=place.step,
            parallel=place.parallel,
        )


def climb_ladder(args: argparse.Namespace, argv: Sequence[str]) -> int:
    """argv -> a plan a rung -> runs -> a study a rung -> multipliers -> report."""
    started = time.monotonic()
    check_ladder_flags(args)
    place = Place.of(args)
    choose_device(args.device)
    args.baseline = baseline_name(args)
    study_seeds(args)
    place.engine(place.out / LOG)  # a wrong engine is refused before any text is read
    for rung in rungs_for(args, vocab_size=257):  # a wrong token or rung is refused before any text is read
        check_parallel(place.parallel, rung.plan)
        if place.parallel is not None and rung.plan.from_trunk:
            raise UserError("a trunk is trained by one process; leave out --parallel, or --schedule wsd")
    scores = choose_scores(args.score, args.tasks, args.limit, args.data)
    with leave_nothing_behind(place.out, place.store):
        data = prepare_data(args, place.store)
        rungs = rungs_for(args, data.vocab_size)
        if args.tasks is not None:
            check_tasks(scores, data, data_folder(place.store))
        steps = _steps(args, argv, rungs, data, scores, place)
    ladder = _record(args, argv, steps)
    folder = place.out / ladder.name
    steps = [dataclasses.replace(s, place=dataclasses.replace(s.place, out=folder / RUNGS)) for s in steps]
    print(plan_text(ladder, steps, data, args), file=sys.stderr)
    if args.dry_run:
        rungs_read: list[Rung] = [Rung(s.label, s.study, ()) for s in steps]
    else:
        _run(ladder, steps, data, place, folder)
        ladder, rungs_read = read_ladder(folder)
        report = write_ladder_report(folder, ladder, rungs_read)
        text = verdict_text(rungs_read, report, time.monotonic() - started)
        print(text, file=sys.stderr if args.json else sys.stdout)
    if args.json:
        print(json.dumps(document(ladder, rungs_read, folder), indent=1))
    return 0


def _steps(
    args: argparse.Namespace,
    argv: Sequence[str],
    rungs: Sequence[PlannedRung],
    data: TokenizedData,
    scores: ChosenScores,
    place: Place,
) -> list[Step]:
    """The rungs with everything that is decided before the first run."""
    arguments = [one for _, one in rung_arguments(args, data.vocab_size)]
    made = []
    for i, (rung, one) in enumerate(zip(rungs, arguments, strict=True)):
        # a trunk is one training for all rungs, and rungs of one size hold the same models, timed once
        kind = choose_step_for(one, rungs[-1].plan if rung.plan.from_trunk else rung.plan).step
        timed = bool(args.ladder) or i == len(rungs) - 1
        own = scores if timed else dataclasses.replace(scores, measurements=())
        study = study_record(
            rung.plan,
            data,
            command=argv,
            seeds=study_seeds(args),
            margin=args.margin,
            device=args.device,
            scores=own.names,
            step=kind,
            parallel=place.parallel,
            family=family_of(args),
        )
        made.append(Step(rung.label, rung.plan, study, own, dataclasses.replace(place, step=kind)))
    return made


def _record(args: argparse.Namespace, argv: Sequence[str], steps: Sequence[Step]) -> LadderRecord:
    first = steps[0].study
    rungs = [RungRecord(s.label, s.study.name, s.study.registration["sha256"]) for s in steps]
    arms, trunk = [arm.name for arm in first.arms[1:]], steps[0].plan.from_trunk
    digest = hashlib.sha256(json.dumps([rung.study for rung in rungs]).encode()).hexdigest()[:8]
    return LadderRecord(
        name=f"ladder-{first.name.rsplit('_', 1)[0]}_{slug(args.schedule)}_{digest}",
        command=list(argv),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        kind="sizes" if args.ladder else "budgets",
        rule=rule_of(args),
        trunk=trunk,
        baseline=first.baseline,
        arms=arms,
        rungs=rungs,
        registration=register_ladder(baseline=first.baseline, arms=arms, rungs=rungs, seeds=first.seeds, trunk=trunk),
    )


def _run(ladder: LadderRecord, steps: Sequence[Step], data: TokenizedData, place: Place, folder: Path) -> None:
    """Register everything, train what the store does not have, then report each rung as a study."""
    store, ready = RunStore(place.store), []
    for step in steps:
        at = step.place.out / step.study.name
        study = as_registered(at, step.study)
        ready.append(dataclasses.replace(step, study=study))
        if not (at / "runs.jsonl").exists():
            write_study(at, study, [])
    write_ladder(folder, ladder)
    named = [dataclasses.replace(t, arm=f"{t.arm} at {s.label}") for s in ready for t in s.tasks(data)]
    before = progress(named, store)
    if before.waiting:
        names, lengths = [t.name for t in before.waiting], [t.job.num_steps for t in before.waiting]
        with StudyDisplay(names, lengths) as display:
            place.engine(folder / LOG).run([t.job for t in before.waiting], display.show)
    fresh = {t.key for t in before.waiting} - before.trained
    for step in ready:
        run_study(step.study, step.plan, data, step.scores, step.place, fresh=fresh)
        if step.plan.from_trunk:
            _keep_separate(step, data, store, folder)


def _keep_separate(step: Step, data: TokenizedData, store: RunStore, folder: Path) -> None:
    """The runs of the rung annealed on their own, where the store has them: a study beside it, for the comparison."""
    plan = annealed_alone(step.plan)
    tasks = [dataclasses.replace(t, job=dataclasses.replace(t.job, scores=())) for t in step.tasks(data, plan)]
    runs = collect(tasks, store, {task.key for task in tasks})
    if runs:
        study = dataclasses.replace(step.study, name=f"{step.study.name}-alone", recipe=plan.recipe.to_json())
        write_study(folder / SEPARATE / step.study.name, study, runs)


def plan_text(ladder: LadderRecord, steps: Sequence[Step], data: TokenizedData, args: argparse.Namespace) -> str:
    """Every rung in a few lines, what all of them cost, and what they can see where the noise is known."""
    lines = []
    store, workers, known, reused = RunStore(steps[0].place.store), steps[0].place.num_workers, [], 0
    for step in steps:
        found = read_calibration(step.place.store, step.study)
        epochs = step.plan.baseline.num_tokens / max(1, len(data.train))
        lines += [f"rung {step.label}, {epochs:.2g} times the training text, {step.place.step} steps"]
        lines += [f"  {line}" for line in show.plan_text(step.study).splitlines()]
        if found is not None:
            forecast = show.forecast_text(found, step.study, workers, args.effect, args.power)
            lines += [f"  {line}" for line in forecast.splitlines()]
        known.append(found)
        reused += len(progress(step.tasks(data), store).trained)
    return "\n".join([*lines, *_cost_lines(ladder, steps, known, reused, workers)])


def _cost_lines(
    ladder: LadderRecord,
    steps: Sequence[Step],
    known: Sequence[CalibrationRecord | None],
    reused: int,
    workers: int,
) -> list[str]:
    studies = [step.study for step in steps]
    per_rung = len(studies[0].arms) * len(studies[0].seeds)
    flops = total_flops(studies, ladder.trunk)
    lines = [
        f"{count(len(steps), 'rung')} ({ladder.rule}), {count(per_rung * len(steps), 'run')}, {reused} of them in the "
        f"store; {flops:.3e} training FLOPs in all, nothing reused"
    ]
    if ladder.trunk:
        told = "; ".join(f"{s.arm} {s.trunk:.3e} instead of {s.alone:.3e} (-{s.share:.0%})" for s in savings(studies))
        lines.append(f"one trunk an arm and seed, FLOPs a seed: {told}")
    seconds = [c.seconds_per_run for c in known if c is not None]
    if len(seconds) == len(steps):
        lines.append(f"about {duration(per_rung * sum(seconds) / workers)} on {count(workers, 'worker')}")
    elif not seconds:
        lines.append(
            "the noise at these scales is not known; python -m harness.calibrate measures it, a rung at a time"
        )
    return lines


def verdict_text(rungs: Sequence[Rung], report: Path, seconds: float) -> str:
    """What the ladder says, arm by arm, then how each rung decided."""
    lines = [""]
    for found in climbs(rungs):
        lines += [f"{'  ' if i else ''}{line}" for i, line in enumerate(sentences(found))]
    lines.append(fit_text(baseline_fit(rungs), len(rungs)))
    if len(rungs[0].study.arms) > 2:
        lines += [f"ranks at {rank_text(change)}" for change in ranks(rungs)]
    for rung in rungs:
        told = "; ".join(f"{c.arm} {c.verdict or 'no verdict'}" for c in compare_study(rung.study, list(rung.runs)))
        lines.append(f"  rung {rung.label}: {told}")
    runs = [run for rung in rungs for run in rung.runs]
    reused = sum(run.reused for run in runs)
    return "\n".join([*lines, f"{len(runs)} runs, {reused} reused, {seconds / 60:.1f} min   report: {report}"])


def document(ladder: LadderRecord, rungs: Sequence[Rung], folder: Path) -> dict[str, Any]:
    """The JSON of `--json`: the ladder, each rung's study as `harness.ablate` prints it, and what they say together."""
    materials = [Material(r.study, r.runs, compare_study(r.study, list(r.runs)), r.measurements) for r in rungs]
    studies = [rung.study for rung in rungs]
    trained = any(rung.runs for rung in rungs)
    fit = baseline_fit(rungs) if trained else None
    return {
        "schema_version": ladder.schema_version,
        "ladder": {"folder": str(folder), **to_json(ladder)},
        "total_flops": total_flops(studies, ladder.trunk),
        "savings": [to_json(s) for s in savings(studies)] if ladder.trunk else [],
        "rungs": [
            {"label": r.label, **show.document(m, folder / RUNGS / r.study.name)}
            for r, m in zip(rungs, materials, strict=True)
        ],
        "climbs": [finite(_climb(found)) for found in climbs(rungs)] if trained else [],
        "fit": None if fit is None else finite(to_json(fit)),
        "ranks": [to_json(change) for change in ranks(rungs)] if trained else [],
        "agreements": [to_json(a) for a in agreements(rungs)],
    }


def _climb(found: Any) -> dict[str, Any]:
    told = {name: value for name, value in vars(found).items() if name not in ("before", "after", "worth", "curve")}
    return {
        **told,
        "baseline_losses": found.before.tolist(),
        "arm_losses": found.after.tolist(),
        "multipliers": {unit: [m._asdict() for m in rows] for unit, rows in found.worth.items()},
        "curve": [m._asdict() for m in found.curve],
        "slope": None if found.slope is None else found.slope._asdict(),
        "trend": None if found.trend is None else to_json(found.trend),
        "sentences": sentences(found),
    }
