"""Keep a sweep's workers at work: replace those that die, give back their trials, stop them all in the end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import optuna

from harness.engine.local import STOP_SECONDS
from harness.engine.sweep_storage import Unsigned, give_back_lost, give_back_silent, is_open, settled
from harness.engine.sweep_worker import STORE_BROKE
from harness.records.store import StoreError

LOOK_SECONDS = 0.5
"""Between looks at the workers. Assumption: a dead one costs less than starting it anew."""

MOST_DEATHS = 20
"""Workers that may die without a trial settled between them before a sweep is given up: something kills them all.
Assumption."""


def run_workers(
    study: optuna.Study,
    folder: Path,
    locks: Path,
    num_workers: int,
    num_trials: int,
    on_settled: Callable[[optuna.trial.FrozenTrial], None],
) -> None:
    """Run workers until `num_trials` trials are settled; `on_settled` is called once for each as it comes.

    Args:
        folder: the sweep's.
        locks: where workers register, see `locks_folder`.

    Raises:
        StoreError: the store or the storage cannot be written, or workers die again and again.
    """
    workers: dict[int, subprocess.Popen[str]] = {}
    told: set[int] = {trial.number for trial in settled(study.get_trials(deepcopy=False))}
    deaths, hired, unsigned = 0, 0, Unsigned()
    give_back_lost(study, locks)
    try:
        while True:
            done = settled(study.get_trials(deepcopy=False))
            for trial in done:
                if trial.number not in told:
                    told.add(trial.number)
                    on_settled(trial)
                    deaths = 0
            if len(done) >= num_trials:
                return
            for number, worker in list(workers.items()):
                code = worker.poll()
                if code is not None:
                    _stop([workers.pop(number)])
                    deaths += _judge(code, folder)
                    give_back_lost(study, locks)
            if deaths > MOST_DEATHS:
                raise StoreError(
                    f"{deaths} workers of the sweep died one after another, as {folder / 'workers.log'} says"
                )
            unsigned.give_up(study)
            if not workers:  # a worker does this too, before each trial
                give_back_silent(study)
            while len(workers) < min(num_workers, num_trials - len(done)) and is_open(study, num_trials):
                workers[hired] = _hire(folder, hired)
                hired += 1
            time.sleep(LOOK_SECONDS)
    finally:
        _stop(list(workers.values()))


def _judge(code: int, folder: Path) -> int:
    """1 for a death, 0 for a worker that found nothing more to do."""
    if code == STORE_BROKE:
        lines = (folder / "workers.log").read_text(encoding="utf-8", errors="replace").splitlines()
        raise StoreError(lines[-1] if lines else "a worker could not write")
    return int(code != 0)


def _hire(folder: Path, number: int) -> subprocess.Popen[str]:
    with (folder / "workers.log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "harness.engine.sweep_worker", str(folder), str(number)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            text=True,
            start_new_session=True,  # Ctrl-C is the sweep's to handle
            env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        )


def _stop(workers: list[subprocess.Popen[str]]) -> None:
    """Have all of them checkpoint and leave; kill what has not left after `STOP_SECONDS`."""
    for worker in workers:
        if worker.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                worker.stdin.close()
    deadline = time.monotonic() + STOP_SECONDS
    for worker in workers:
        try:
            worker.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
