"""Run a study: train and score what the store does not have, measure the arms, compare, write the report."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from harness.analyse.looks import compare_study, due
from harness.cli.arguments import parallel_of
from harness.cli.display import StudyDisplay
from harness.data.dataset import TokenizedData
from harness.engine.choose_scores import ChosenScores
from harness.engine.engines import EngineChoice
from harness.engine.interface import Engine
from harness.engine.measurements import Subject, measure_study
from harness.engine.study import Task, collect, progress, tasks_of
from harness.engine.tensorboard import write_scalars
from harness.plan.study import Plan
from harness.records.calibration import read_calibration
from harness.records.record import StudyRecord, StudyRun
from harness.records.remembered import RememberedStore
from harness.records.store import RunStore
from harness.records.study import as_registered, write_study
from harness.reporting.section import Material
from harness.reporting.write import write_report
from harness.train.compile import StepKind
from harness.train.device import choose_device
from harness.train.manner import PLAIN, Manner
from harness.train.parallel import Parallel

LOG = "workers.log"
"""In a study's folder: what workers print, tracebacks included."""


@dataclass(frozen=True)
class Place:
    """Where and how a study runs, and what it writes. `out` has a folder a study."""

    out: Path
    store: Path
    device: str
    num_workers: int  # of this machine
    checkpoint_seconds: float
    engine: Callable[[Path], Engine]  # from the file that takes what goes wrong
    step: StepKind = "eager"
    parallel: Parallel | None = None
    manner: Manner = PLAIN
    recompute_activations: bool = False

    @classmethod
    def of(cls, args: argparse.Namespace) -> Place:
        """The place that the flags of `add_place_flags` name; how a step is run is decided with the plan."""
        parallel = parallel_of(args)
        num_workers = args.workers or default_workers(parallel, args.device)
        return cls(
            out=args.out,
            store=args.store or args.out / "store",
            device=args.device,
            num_workers=num_workers,
            checkpoint_seconds=args.checkpoint_seconds,
            engine=lambda log: engine_of(args).make(args.workers if parallel is None else num_workers, log),
            parallel=parallel,
        )


def default_workers(parallel: Parallel | None, device: str) -> int:
    """Runs at a time on this machine: as many as its cores, or its GPUs, have room for."""
    on_gpus = choose_device(device).type == "cuda"
    if parallel is None:
        return torch.cuda.device_count() if on_gpus else os.cpu_count() or 1
    return 1 if on_gpus else max(1, (os.cpu_count() or 1) // parallel.processes)


def engine_of(args: argparse.Namespace) -> EngineChoice:
    """The engine that the flags of `add_engine_flags` name."""
    return EngineChoice(
        args.engine,
        args.address,
        args.runs_per_gpu,
        args.slurm_partition,
        args.slurm_minutes,
        tuple(args.slurm_option),
    )


def run_study(
    study: StudyRecord,
    plan: Plan,
    data: TokenizedData,
    scores: ChosenScores,
    place: Place,
    folder: Path | None = None,
    fresh: Collection[str] = (),
) -> Material:
    """Everything from the plan to the written report; what the store has is neither trained nor scored again.

    Args:
        folder: of a study that belongs to another one; else its own.
        fresh: keys of runs that the same command has just trained, which are therefore not reused.
    """
    store, folder = RememberedStore(place.store), folder or place.out / study.name
    study = as_registered(folder, study)
    tasks = tasks_of(
        plan,
        data,
        study.seeds,
        place.store,
        place.device,
        place.checkpoint_seconds,
        scores=scores.requests,
        step=place.step,
        parallel=place.parallel,
        manner=place.manner,
        recompute_activations=place.recompute_activations,
    )
    runs = run_looks(study, tasks, store, folder, place.engine(folder / LOG), fresh)
    write_study(folder, study, runs)
    device = choose_device(place.device)
    subject = Subject(plan.arms, runs, data, store, place.store, folder, plan.recipe.tokens_per_step, device)
    measured = measure_study(scores.measurements, subject, say)
    calibration = read_calibration(place.store, study)
    material = Material(study, runs, compare_study(study, runs), measured, calibration=calibration)
    write_report(folder, material)
    write_scalars(folder / "tensorboard", runs)
    return material


def run_looks(
    study: StudyRecord,
    tasks: Sequence[Task],
    store: RunStore,
    folder: Path,
    engine: Engine,
    fresh: Collection[str] = (),
) -> list[StudyRun]:
    """Run what each look of the study needs, until nothing is left to decide; all at once where it has one look."""
    reused = progress(tasks, store).trained.difference(fresh)
    runs = collect(tasks, store, reused)
    while True:
        wanted = set(due(study, runs))
        now = [task for task in tasks if (task.arm, task.seed) in wanted]
        run_missing(study, now, store, folder, engine)
        runs = collect(now, store, reused)
        if set(due(study, runs)) <= wanted:
            return runs


def run_missing(
    study: StudyRecord, tasks: Sequence[Task], store: RunStore, folder: Path, engine: Engine, *, write: bool = True
) -> None:
    """Train and score what the store does not have; `write` the study first, with the runs that are there."""
    before = progress(tasks, store)
    folder.mkdir(parents=True, exist_ok=True)
    if write:
        write_study(folder, study, collect(tasks, store, before.trained))
    if before.waiting:
        names, steps = [t.name for t in before.waiting], [t.job.num_steps for t in before.waiting]
        with StudyDisplay(names, steps) as display:
            engine.run([t.job for t in before.waiting], display.show)


def say(what: str) -> None:
    """One line of progress."""
    print(what, file=sys.stderr, flush=True)
