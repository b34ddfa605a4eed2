"""A worker process: reads jobs as JSON lines on stdin, writes events as JSON lines on stdout.

A line is a job, or a list of jobs that are trained as one stack; then `run` in an event is the number of one of them.

When stdin ends, because the study was stopped or killed, the run in progress is checkpointed and the worker
leaves; so it does at SIGTERM, with exit code 143. It is started by harness/engine/local.py, one thread a process.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import IO, Any

from harness.engine.job import Job, execute, fail
from harness.engine.stack_job import execute_stack
from harness.engine.torchrun import LOST, LostProcessError
from harness.records.record import RunRecord
from harness.records.store import StoreError
from harness.train.checkpoint import CheckpointError, RunNote
from harness.train.device import choose_device, prepare_process

LEAVE_SECONDS = 60
"""How long a worker without a study may take to checkpoint: then the kernel ends it, or one that hangs would hold its
run for ever. Three times what a study that stops in order gives it (STOP_SECONDS of local.py)."""


class Worker:
    """The state that a signal handler and the reading thread may change: plain attributes, which need no lock."""

    def __init__(self, stdin: IO[str], events: IO[str]) -> None:
        self.stdin, self.events = stdin, events
        self.jobs: queue.SimpleQueue[dict[str, Any] | list[dict[str, Any]] | None] = queue.SimpleQueue()
        self.leaving = False
        self.exit_code = 0

    def leave(self) -> None:
        """Checkpoint the run in progress and end."""
        signal.alarm(LEAVE_SECONDS)  # the kernel needs no help of ours to end a process that hangs
        self.leaving = True
        self.jobs.put(None)

    def on_sigterm(self, *_: object) -> None:
        self.exit_code = 143
        self.leave()

    def read(self) -> None:
        for line in self.stdin:
            self.jobs.put(json.loads(line))
        self.leave()

    def send(self, **event: Any) -> None:
        try:
            self.events.write(json.dumps(event) + "\n")
            self.events.flush()
        except BrokenPipeError:  # the study is gone
            self.leaving = True


def main() -> int:
    """Serve jobs until stdin ends or SIGTERM comes."""
    worker = Worker(*private_pipes())
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, worker.on_sigterm)
    threading.Thread(target=worker.read, daemon=True).start()
    while not worker.leaving and (data := worker.jobs.get()) is not None:
        _serve([Job.from_json(one) for one in (data if isinstance(data, list) else [data])], worker)
    return worker.exit_code


def private_pipes() -> tuple[IO[str], IO[str]]:
    """The pipes to the study, out of reach of whatever else in this process, or a child of it, reads or prints."""
    stdin, events = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return stdin, events


def _serve(jobs: list[Job], worker: Worker) -> None:
    """Do one job, or one stack of them, and say how each ended; say nothing when it was cut short by SIGTERM, so that
    it is handed out again.
    """
    try:
        prepare_process(choose_device(jobs[0].device))
        with warnings_as_notes(worker.send):
            records = _execute_all(jobs, worker)
        if worker.exit_code:  # they may lack steps or scores
            return
        for run, record in enumerate(records):
            status, reason = ("stopped", "") if record is None else (record.status, record.reason)
            worker.send(event="end", run=run, status=status, reason=reason)
    except (StoreError, CheckpointError) as error:  # disk full, say: no later run would fare better
        worker.send(event="broken", reason=f"{jobs[0].store}: {error}")
    except LostProcessError as error:  # as if this one had died: the study hands the run out again
        print(error, file=sys.stderr)
        worker.exit_code, worker.leaving = LOST, True
    except Exception as error:  # whatever a variant raises is that run's failure, not the study's
        traceback.print_exc()
        for run, job in enumerate(jobs):
            event = fail(run, job, f"{type(error).__name__}: {error}")
            worker.send(event=event.kind, run=run, status=event.status, reason=event.reason)


def _execute_all(jobs: list[Job], worker: Worker) -> list[RunRecord | None]:
    """The records of one job, or of the jobs of a stack."""
    if len(jobs) > 1:
        return execute_stack(
            jobs,
            on_progress=lambda run, step, loss: worker.send(event="progress", run=run, step=step, loss=loss),
            on_score=lambda run, name: worker.send(event="scoring", run=run, reason=name),
            on_wait=lambda: worker.send(event="waiting"),
            should_stop=lambda: worker.leaving,
        )
    record = execute(
        jobs[0],
        on_progress=lambda step, loss: worker.send(event="progress", step=step, loss=loss),
        on_score=lambda name: worker.send(event="scoring", reason=name),
        on_wait=lambda: worker.send(event="waiting"),
        on_trunk_wait=lambda: worker.send(event="waiting"),
        should_stop=lambda: worker.leaving,
    )
    return [record]


@contextlib.contextmanager
def warnings_as_notes(send: Callable[..., None]) -> Iterator[None]:
    """What a user should know of a run that goes on is shown by the study; every warning is in the log."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", RunNote)
        log = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            log(message, category, *where, **more)
            if issubclass(category, RunNote):
                send(event="note", reason=str(message))

        warnings.showwarning = show
        yield


if __name__ == "__main__":
    sys.exit(main())
