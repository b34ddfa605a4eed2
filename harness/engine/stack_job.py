"""Several runs of one shape trained as one program on one worker; each keeps its own lock, record and scores."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Sequence
from functools import partial

from harness.data import dataset
from harness.data.stacked_batches import StackedBatches
from harness.engine.job import Job, data_folder, record_of
from harness.engine.scoring import score_run
from harness.records.record import RunRecord
from harness.records.store import RunStore
from harness.train.compiled_stack import CompiledStack
from harness.train.crew import ALONE
from harness.train.device import choose_device
from harness.train.precision import make_model
from harness.train.stack import Stack
from harness.train.stacked import train_stack


def stacks_of(jobs: Sequence[Job]) -> list[tuple[int, ...]]:
    """The jobs by number in the groups that are trained together, in the order of each group's first job.

    A stack takes jobs that differ by their seeds alone; a job without rows is a group of its own.
    """
    groups: list[list[int]] = []
    open_groups: dict[Job, list[int]] = {}
    for number, job in enumerate(jobs):
        shape = dataclasses.replace(job, seed=0, data_seed=None, rerun=0)
        group = open_groups.get(shape, [])
        full = len(group) >= (job.manner.rows or 1) or any(_run_of(jobs[other]) == _run_of(job) for other in group)
        if not group or full:
            group = open_groups[shape] = []
            groups.append(group)
        group.append(number)
    return [tuple(group) for group in groups]


def _run_of(job: Job) -> tuple[int, int | None, int]:
    """What tells jobs of one shape apart."""
    return job.seed, job.data_seed, job.rerun


def execute_stack(
    jobs: Sequence[Job],
    *,
    on_progress: Callable[[int, int, float], None] = lambda run, step, loss: None,
    on_score: Callable[[int, str], None] = lambda run, name: None,
    on_wait: Callable[[], None] = lambda: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[RunRecord | None]:
    """`execute` of several runs at once (harness/engine/job.py): those that have a record are only scored.

    Locks are taken in the order of the runs' keys, so that two studies with common runs do not wait for each other.
    """
    store, keys = RunStore(jobs[0].store), [job.key for job in jobs]
    with contextlib.ExitStack() as locks:
        for key in sorted(keys):
            if not locks.enter_context(store.lock(key, on_wait=on_wait, should_stop=should_stop)):
                return [None] * len(jobs)
        records = [store.get(key) for key in keys]
        left = [run for run, record in enumerate(records) if record is None or record.status == "failed"]
        if left:
            made = _train([jobs[run] for run in left], store, left, on_progress, on_score, should_stop)
            for run, record in zip(left, made, strict=True):
                records[run] = record
        for run, record in enumerate(records):
            if record is not None:
                shutil.rmtree(store.folder(keys[run]) / "checkpoints", ignore_errors=True)
                device = choose_device(jobs[run].device)
                score_run(record, jobs[run].scores, store, device, should_stop, partial(on_score, run))
        return records


def _train(
    jobs: Sequence[Job],
    store: RunStore,
    numbers: Sequence[int],
    on_progress: Callable[[int, int, float], None],
    on_score: Callable[[int, str], None],
    should_stop: Callable[[], bool],
) -> list[RunRecord | None]:
    """The records of jobs, kept in the store; None of those that were stopped. `numbers` are theirs in the stack."""
    first = jobs[0]
    device, recipe, seq_len = choose_device(first.device), first.recipe, first.spec.seq_len
    data = dataset.load(data_folder(first.store), first.data_sha256)
    orders = [job.seed if job.data_seed is None else job.data_seed for job in jobs]
    batches = StackedBatches(data.train, seq_len, recipe.tokens_per_step // seq_len, orders, device)
    models = [make_model(job.spec, job.seed, job.manner.precision).to(device) for job in jobs]
    trainings = train_stack(
        models,
        batches,
        recipe,
        first.num_steps,
        folders=[store.folder(job.key) / "checkpoints" for job in jobs],
        rows=first.manner.rows,
        on_progress=lambda run, step, loss: on_progress(numbers[run], step, loss),
        should_stop=should_stop,
        checkpoint_seconds=first.checkpoint_seconds,
        make_step=Stack if first.step == "eager" else partial(CompiledStack, batch=batches.batch(0)),
    )
    records: list[RunRecord | None] = []
    for number, job, training, model in zip(numbers, jobs, trainings, models, strict=True):
        record = None
        if training.status != "stopped":
            record = record_of(job, training, model, data, store, ALONE, partial(on_score, number))
            store.put(record)
        records.append(record)
    return records
