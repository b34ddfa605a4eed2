"""A worker of a sweep: takes trials from the storage until enough are settled, its stdin ends, or SIGTERM comes.

    python -m harness.engine.sweep_worker FOLDER NUMBER

FOLDER/worker.json says what the sweep is (see `WorkerOrders`); NUMBER makes the sampler's seed its own.
"""

from __future__ import annotations

import _thread
import dataclasses
import json
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError

from harness.engine.engines import EngineChoice
from harness.engine.job import execute, failed
from harness.engine.objectives import parse_objectives
from harness.engine.sweep import Run, Sweep, TrialFailedError, job_of, run_trial, suggest
from harness.engine.sweep_elsewhere import elsewhere
from harness.engine.sweep_storage import (
    give_back_stopped,
    is_open,
    locks_folder,
    make_pruner,
    make_sampler,
    opened,
    registered,
    taking_turns,
)
from harness.records.store import RunStore, StoreError
from harness.train.checkpoint import CheckpointError
from harness.train.device import choose_device, prepare_process
from variants.errors import UserError

ORDERS = "worker.json"
LOG = "workers.log"

STORE_BROKE = 3
"""Exit code: the store or the storage cannot be written, so another worker would fare no better."""


@dataclass(frozen=True)
class WorkerOrders:
    """What a worker needs beside the sweep: where the trials are, and how many are to be settled."""

    sweep: Sweep
    study_name: str
    storage: str
    sampler: str
    pruner: str
    num_trials: int
    engine: EngineChoice

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "sweep": self.sweep.to_json()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> WorkerOrders:
        own = {"sweep": Sweep.from_json(data["sweep"]), "engine": EngineChoice.from_json(data["engine"])}
        return cls(**{**data, **own})


def main(argv: list[str]) -> int:
    """Work until the sweep is done, or stdin ends."""
    folder, number = Path(argv[0]), int(argv[1])
    orders = WorkerOrders.from_json(json.loads((folder / ORDERS).read_text(encoding="utf-8")))
    stop = threading.Event()
    run = execute if orders.engine.name == "local" else elsewhere(orders.engine.make(1, folder / LOG))
    signal.signal(signal.SIGTERM, lambda *_: _leave(stop, run is not execute))
    threading.Thread(target=_until_stdin_ends, args=(stop, run is not execute), daemon=True).start()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    prepare_process(choose_device(orders.sweep.device))
    try:
        _work(orders, folder, number, run, stop)
    except (StoreError, UserError, OSError) as error:
        print(error, file=sys.stderr)
        return STORE_BROKE
    return 0


def _work(orders: WorkerOrders, folder: Path, number: int, run: Run, stop: threading.Event) -> None:
    """Take trials until none is left to begin, or told to stop: then the one that runs is given back.

    Raises:
        StoreError, UserError, OSError: the run store or the storage cannot be read or written.
    """
    locks = locks_folder(orders.storage, folder)
    with opened(orders.storage) as storage, registered(locks) as name:
        study = optuna.load_study(
            study_name=orders.study_name,
            storage=storage,
            sampler=make_sampler(orders.sampler, 1000 * orders.sweep.seed + number),
            pruner=make_pruner(orders.pruner),
        )
        try:
            while not stop.is_set():
                with taking_turns(locks) as taken:
                    if not is_open(study, orders.num_trials):
                        break
                    work = partial(_objective, sweep=orders.sweep, worker=name, taken=taken, run=run, stop=stop)
                    study.optimize(work, n_trials=1, catch=(TrialFailedError,))
        except KeyboardInterrupt:
            give_back_stopped(study, name)


def _objective(
    trial: optuna.Trial, sweep: Sweep, worker: str, taken: Callable[[], None], run: Run, stop: threading.Event
) -> list[float]:
    trial.set_user_attr("worker", worker)
    taken()
    try:
        return run_trial(trial, sweep, run, stop.is_set)
    except TrialFailedError as error:
        trial.set_user_attr("reason", str(error))
        raise
    except (optuna.TrialPruned, StoreError, CheckpointError, StorageInternalError):
        raise
    except Exception as error:  # whatever a variant raises is that trial's failure, not the sweep's
        traceback.print_exc()
        reason = f"{type(error).__name__}: {error}"
        job, _ = job_of(sweep, suggest(trial, sweep), parse_objectives(sweep.objectives))
        RunStore(sweep.store).put(failed(job, reason))
        trial.set_user_attr("reason", reason)
        raise TrialFailedError(reason) from error


def _until_stdin_ends(stop: threading.Event, interrupt: bool) -> None:
    sys.stdin.read()
    _leave(stop, interrupt)


def _leave(stop: threading.Event, interrupt: bool) -> None:
    """Have the worker checkpoint and leave; `interrupt` an engine, which may wait for a cluster in silence."""
    stop.set()
    if interrupt:
        _thread.interrupt_main()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
