"""Run jobs in worker processes of this machine, one thread each."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.engine.event import Event
from harness.engine.job import Job, fail
from harness.engine.packing import RunsPerGpu, Seat, seats_of
from harness.engine.patience import TICK_SECONDS, Patience, Watch
from harness.engine.stack_job import stacks_of
from harness.engine.torchrun import LOST
from harness.engine.waiting import Waiting
from harness.records.store import StoreError

__all__ = ["Event", "LocalEngine"]

ATTEMPTS = 3
"""Workers that may die on one job, each no further than those before it, until it is recorded as failed."""

STOP_SECONDS = 20.0
"""How long workers may take to checkpoint and leave when a study is stopped. Slurm and Kubernetes kill 30 s after
their SIGTERM (KillWait, terminationGracePeriodSeconds); the rest is for us to leave."""

TOLD_TO_LEAVE = (143, -signal.SIGTERM)
"""Exit codes of a worker that somebody sent SIGTERM: it checkpointed and left, and that is no fault of the job."""


WORKER = (sys.executable, "-m", "harness.engine.worker")


class LocalEngine:
    """Worker processes that take jobs one after another.

    Args:
        num_workers: processes at a time; None: one a core, or `runs_per_gpu` a GPU (harness/engine/packing.py).
        log: file that receives what the workers print, tracebacks included.
        patience: how long a worker may say nothing before it is killed and replaced.
    """

    def __init__(
        self,
        num_workers: int | None,
        log: Path,
        patience: Patience | None = None,
        runs_per_gpu: RunsPerGpu = 1,
    ) -> None:
        self.num_workers = num_workers
        self.runs_per_gpu: RunsPerGpu = runs_per_gpu
        self.log = log
        self.patience = patience or Patience()

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> None:
        """Run every job; each leaves its record in its store. An interrupt checkpoints the runs and is raised again.

        Raises:
            StoreError: a record or checkpoint could not be written.
            OSError: a worker could not be started.
        """
        stacks = stacks_of(jobs)
        events: queue.Queue[Event | Exception | None] = queue.Queue()
        seats = seats_of(jobs, self.num_workers, self.runs_per_gpu)[: len(stacks)]
        waiting = Waiting(jobs, stacks, near=len(seats))
        lanes = [_Lane(jobs, waiting, events, self.log, self.patience, seat) for seat in seats]
        try:
            for lane in lanes:
                lane.start()
            _follow(lanes, events, on_event)
        finally:
            for lane in lanes:
                lane.stop()
            deadline = time.monotonic() + STOP_SECONDS
            for lane in lanes:
                lane.dismiss(deadline)


def _follow(
    lanes: Sequence[_Lane], events: queue.Queue[Event | Exception | None], on_event: Callable[[Event], None]
) -> None:
    """Hand on what the lanes say until all have ended, and look after silent workers meanwhile."""
    running = len(lanes)
    while running:
        for lane in lanes:
            lane.look()
        try:
            said = events.get(timeout=TICK_SECONDS)
        except queue.Empty:
            continue
        if said is None:
            running -= 1
        elif isinstance(said, Exception):
            raise said
        elif said.kind == "broken":
            raise StoreError(said.reason)
        else:
            on_event(said)


class _Lane(threading.Thread):
    """One worker process and the thread that feeds it; a worker that dies or hangs is replaced."""

    def __init__(
        self,
        jobs: Sequence[Job],
        waiting: Waiting,
        events: queue.Queue[Event | Exception | None],
        log: Path,
        patience: Patience,
        seat: Seat,
    ) -> None:
        super().__init__(daemon=True)
        self.seat = seat
        self.jobs, self.waiting, self.events, self.log, self.patience = jobs, waiting, events, log, patience
        self.stopping = threading.Event()
        self.worker: subprocess.Popen[str] | None = None
        self.watch: Watch | None = None  # while a job is with the worker
        self.hung: float | None = None  # seconds of silence after which the worker was killed
        self.reached = 0  # steps that this attempt has told of
        self.left: list[int] = []  # of the jobs in hand, those that have not ended

    def run(self) -> None:
        stack = None
        try:
            while not self.stopping.is_set() and (stack := self.waiting.take(stack)) is not None:
                self._run_jobs(stack)
        except Exception as error:  # for the thread that called the engine: a job must not be lost without a word
            self.events.put(error)
        finally:
            self.events.put(None)

    def look(self) -> None:
        """Kill a worker that hangs; called every `TICK_SECONDS` by the engine's thread."""
        watch = self.watch
        silence = None if watch is None else watch.silent_for()
        if silence is not None and self.hung is None:
            self.hung = silence
            self._kill()

    def stop(self) -> None:
        """Ask the worker to checkpoint and leave: the end of its stdin says so."""
        self.stopping.set()
        _close_stdin(self.worker)

    def dismiss(self, deadline: float) -> None:
        """Wait for the worker and the thread to end; kill a worker that has not left by `deadline`."""
        if self.worker is not None:
            self._reap(deadline)
        if self.ident is not None:
            self.join()
        if self.worker is not None:  # hired while we were stopping
            self._reap(deadline)
        self._release()

    def _kill(self) -> None:
        """Kill the worker, if it lives, and whatever it has started: it leads a process group."""
        if self.worker is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.worker.pid, signal.SIGKILL)

    def _reap(self, deadline: float) -> int:
        """The exit code of a worker that is leaving; one that has not left by `deadline` is killed."""
        assert self.worker is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.worker.wait(max(0.0, deadline - time.monotonic()))
        self._kill()
        return self.worker.wait()

    def _release(self) -> None:
        """Close the pipes of a worker that has left."""
        if self.worker is not None:
            with contextlib.suppress(BrokenPipeError), self.worker:  # leaving the context closes them
                pass
            self.worker = None

    def _run_jobs(self, stack: tuple[int, ...]) -> None:
        """Hand one job, or a stack of them, to workers until they say how each ended; the third that dies no further
        on ends what is left as failed.
        """
        for index in stack:
            self.events.put(Event("start", index))
        self.left = list(stack)
        deaths, furthest, death = 0, -1, ""
        while deaths < ATTEMPTS:
            if self._attempt() or self.stopping.is_set():
                return
            code = self._reap(time.monotonic() + STOP_SECONDS)
            if self.hung is not None or code not in TOLD_TO_LEAVE:
                deaths = 1 if self.reached > furthest else deaths + 1
                furthest = max(furthest, self.reached)
            death = _death(code, self.hung)
            self.events.put(Event("note", self.left[0], reason=f"the worker process {death} after step {self.reached}"))
        reason = f"the worker process died {ATTEMPTS} times, the last one {death}; see {self.log.name}"
        for index in self.left:
            self.events.put(fail(index, self.jobs[index], reason))

    def _attempt(self) -> bool:
        """Whether the worker said how all that was left ended before it died."""
        stack = tuple(self.left)
        jobs = [self.jobs[index] for index in stack]
        if self.worker is None or self.worker.poll() is not None:
            self._release()
            self.worker = self._hire()
            if self.stopping.is_set():  # stop() may have come before there was a worker to tell
                _close_stdin(self.worker)
        assert self.worker.stdin is not None
        assert self.worker.stdout is not None
        self.hung, self.reached = None, 0
        errand = [job.to_json() for job in jobs] if len(jobs) > 1 else jobs[0].to_json()
        try:
            self.worker.stdin.write(json.dumps(errand) + "\n")
            self.worker.stdin.flush()
        except (BrokenPipeError, ValueError):  # it died, or a stop closed the pipe
            return False
        rows, job = max(len(jobs), jobs[0].manner.rows or 1), jobs[0]
        self.watch = Watch(self.patience, rows * job.training_flops_per_token * job.recipe.tokens_per_step)
        try:
            return any(self._hear(stack, line) for line in self.worker.stdout)
        finally:
            self.watch = None

    def _hear(self, stack: tuple[int, ...], line: str) -> bool:
        """Pass on what a worker says of the jobs it was handed; whether it is the last word on them."""
        if not line.endswith("\n"):  # it died in the middle of it
            return False
        data = json.loads(line)
        event = Event.from_json(stack[data.get("run", 0)], data)
        if self.watch is not None:
            self.watch.hear(event)
        self.reached = max(self.reached, event.step)
        self.events.put(event)
        if event.kind == "end":
            self.left.remove(event.job)
        return event.kind == "broken" or not self.left

    def _hire(self) -> subprocess.Popen[str]:
        with self.log.open("a") as log:
            return subprocess.Popen(
                WORKER,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C is the study's to handle
                env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", **self.seat},
            )


def _close_stdin(worker: subprocess.Popen[str] | None) -> None:
    if worker is not None and worker.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            worker.stdin.close()


def _death(code: int, hung: float | None) -> str:
    """What became of a worker, as the end of a sentence."""
    if hung is not None:
        return f"made no progress for {hung:.0f} s and was killed"
    if code in TOLD_TO_LEAVE:
        return "was told to leave (SIGTERM)"
    if code == LOST:
        return "lost another process of the run"
    if code == -signal.SIGKILL:
        return "was killed (signal 9), perhaps out of memory,"
    return f"was killed (signal {-code})" if code < 0 else f"left with exit code {code}"
