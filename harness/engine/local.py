"""Run jobs in worker processes of this machine, one thread each."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.engine.job import Job, failed
from harness.records.store import RunStore, StoreError

ATTEMPTS = 3
"""Workers that may die on one job before it is recorded as failed."""

STOP_SECONDS = 30.0
"""How long a worker may take to checkpoint and leave when a study is stopped. Assumption."""


@dataclass(frozen=True)
class Event:
    """What happened to a job: it started, made progress, ended, or the store broke."""

    kind: Literal["start", "progress", "end", "broken"]
    job: int
    step: int = 0
    loss: float = float("nan")
    status: str = ""
    reason: str = ""


class LocalEngine:
    """Worker processes that take jobs one after another.

    Args:
        num_workers: processes at a time.
        log: file that receives what the workers print, tracebacks included.
    """

    def __init__(self, num_workers: int, log: Path) -> None:
        self.num_workers = num_workers
        self.log = log

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> None:
        """Run every job; each leaves its record in its store. An interrupt checkpoints the runs and is raised again.

        Raises:
            StoreError: a record or checkpoint could not be written.
        """
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        for index in range(len(jobs)):
            waiting.put(index)
        events: queue.Queue[Event | None] = queue.Queue()
        lanes = [_Lane(jobs, waiting, events, self.log) for _ in range(min(self.num_workers, len(jobs)))]
        for lane in lanes:
            lane.start()
        try:
            running = len(lanes)
            while running:
                event = events.get()
                if event is None:
                    running -= 1
                elif event.kind == "broken":
                    raise StoreError(event.reason)
                else:
                    on_event(event)
        finally:
            for lane in lanes:
                lane.stop()
            for lane in lanes:
                lane.dismiss()


class _Lane(threading.Thread):
    """One worker process and the thread that feeds it; a worker that dies is replaced."""

    def __init__(
        self,
        jobs: Sequence[Job],
        waiting: queue.SimpleQueue[int],
        events: queue.Queue[Event | None],
        log: Path,
    ) -> None:
        super().__init__(daemon=True)
        self.jobs, self.waiting, self.events, self.log = jobs, waiting, events, log
        self.stopping = threading.Event()
        self.worker: subprocess.Popen[str] | None = None

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                self._run_job(self.waiting.get_nowait())
        except queue.Empty:
            pass
        finally:
            self.events.put(None)

    def stop(self) -> None:
        """Ask the worker to checkpoint and leave: the end of its stdin says so."""
        self.stopping.set()
        if self.worker is not None and self.worker.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.worker.stdin.close()

    def dismiss(self) -> None:
        """Wait for the worker and the thread to end; kill a worker that does not leave."""
        if self.worker is not None:
            try:
                self.worker.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.worker.kill()
        self.join()
        self._release()

    def _release(self) -> None:
        """Reap the worker's process and close its pipes."""
        if self.worker is not None:
            with contextlib.suppress(BrokenPipeError), self.worker:  # leaving the context closes and waits
                pass
            self.worker = None

    def _run_job(self, index: int) -> None:
        self.events.put(Event("start", index))
        job = self.jobs[index]
        for _ in range(ATTEMPTS):
            if self._attempt(index, job) or self.stopping.is_set():
                return
        code = None if self.worker is None else self.worker.wait()
        reason = f"the worker process died {ATTEMPTS} times (last exit code {code}); see {self.log.name}"
        try:
            RunStore(job.store).put(failed(job, reason))
            self.events.put(Event("end", index, status="failed", reason=reason))
        except StoreError as error:
            self.events.put(Event("broken", index, reason=str(error)))

    def _attempt(self, index: int, job: Job) -> bool:
        """Whether the worker said how the job ended before it died."""
        if self.worker is None or self.worker.poll() is not None:
            self._release()
            self.worker = self._hire()
        assert self.worker.stdin is not None
        assert self.worker.stdout is not None
        try:
            self.worker.stdin.write(json.dumps(job.to_json()) + "\n")
            self.worker.stdin.flush()
        except (BrokenPipeError, ValueError):  # it died, or a stop closed the pipe
            return False
        for line in self.worker.stdout:
            event = _event(index, json.loads(line))
            self.events.put(event)
            if event.kind != "progress":
                return True
        return False

    def _hire(self) -> subprocess.Popen[str]:
        with self.log.open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "harness.engine.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C is the study's to handle
                env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            )


def _event(index: int, data: dict[str, Any]) -> Event:
    return Event(
        data["event"],
        index,
        step=data.get("step", 0),
        loss=data.get("loss", float("nan")),
        status=data.get("status", ""),
        reason=data.get("reason", ""),
    )
