"""One job away from the study's own process: check the place, do the job, say how it went.

`python -m harness.engine.one_job FOLDER INDEX` does errand INDEX of an `ErrandFolder`, as a Slurm job;
harness/engine/ray_cluster.py calls `perform` in a Ray task.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.data.known_file import VARIABLE
from harness.engine.errand import Errand, ErrandFolder, misplaced
from harness.engine.event import Event
from harness.engine.identity import key_of
from harness.engine.job import execute, fail
from harness.records.store import RunStore, StoreError
from harness.train.checkpoint import CheckpointError
from harness.train.device import choose_device, prepare_process

EXCHANGE_SECONDS = 1.0
"""Between two words of a run to its study, each answered with whether to stop. Assumption: a display needs no more."""

SILENCE_SECONDS = 600.0
"""A run that is held, with nothing written in its folder for so long, has lost its holder. NFS 4 servers drop the
locks of a machine that is gone after a lease of 90 s (RFC 8881, 8.3; Linux' default); NFS 3 may keep them for ever."""


def perform(errand: Errand, tell: Callable[[Event], None], should_stop: Callable[[], bool]) -> Event:
    """Do an errand in this process; the event says how it ended.

    `end` with a run's status, `stopped`, or `refused` where this machine would not give the study's bits; `broken`
    when the disk refuses. Whatever else is raised is the run's failure, and kept as its record.
    """
    index, job = errand.index, errand.job

    def waiter(key: str) -> Callable[[], None]:
        holder = Holder(RunStore(job.store).folder(key), max(SILENCE_SECONDS, 20 * job.checkpoint_seconds))

        def wait() -> None:
            tell(Event("waiting", index))
            holder.look()

        return wait

    try:
        problem = misplaced(errand)
        if problem:
            return Event("end", index, status="refused", reason=problem)
        prepare_process(choose_device(job.device))
        with _standing_in(errand):
            record = execute(
                job,
                on_progress=lambda step, loss: tell(Event("progress", index, step=step, loss=loss)),
                on_score=lambda name: tell(Event("scoring", index, reason=name)),
                on_wait=waiter(key_of(errand.identity)),
                on_trunk_wait=waiter(job.trunk_key) if job.from_trunk else lambda: None,
                should_stop=should_stop,
            )
        if record is None or should_stop():  # a stop in scoring leaves a record that may lack scores
            return Event("end", index, status="stopped")
        return Event("end", index, status=record.status, reason=record.reason)
    except (StoreError, CheckpointError) as error:
        return Event("broken", index, reason=f"{job.store}: {error}")
    except Exception as error:  # whatever a variant raises is that run's failure, not the study's
        traceback.print_exc()
        return fail(errand.index, job, f"{type(error).__name__}: {error}")


@contextlib.contextmanager
def _standing_in(errand: Errand) -> Iterator[None]:
    """The study's working folder and HARNESS_DATA, where this machine has them."""
    if errand.data:
        os.environ[VARIABLE] = errand.data
    with contextlib.chdir(errand.folder if Path(errand.folder).is_dir() else "."):
        yield


class AbandonedRunError(RuntimeError):
    """A run is locked by a process that is gone, and the file system has not let go."""


class Holder:
    """Whether the process that holds a run shows signs of life: something new in the run's folder.

    Args:
        folder: of the run.
        patience: seconds without a sign.
    """

    def __init__(self, folder: Path, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder, self.patience, self.clock = folder, patience, clock
        self.signs, self.since = frozenset[tuple[Path, float]](), clock()

    def look(self) -> None:
        """To be called while waiting for the lock.

        Raises:
            AbandonedRunError: there was no sign for too long.
        """
        signs = frozenset((path, _modified(path)) for path in [self.folder, *self.folder.rglob("*")])
        if signs != self.signs:  # not the newest of them: a clock that is put back makes old files of new ones
            self.signs, self.since = signs, self.clock()
        elif self.clock() - self.since > self.patience:
            raise AbandonedRunError(
                f"{self.folder / 'run.lock'} is held and nothing was written beside it for {self.patience:.0f} s; "
                "if no process trains this run, delete that file and run the same command again"
            )


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # the holder has just removed it
        return 0.0


class Reporter:
    """Passes on the newest event of a run about once a second, and learns as often whether to stop.

    Args:
        exchange: takes an event; True when the study is stopping.
    """

    def __init__(self, exchange: Callable[[Event], bool], first: Event) -> None:
        self.exchange, self.newest = exchange, first
        self.stopping = exchange(first)
        self.last = time.monotonic()

    def tell(self, event: Event) -> None:
        """Passed on at once if it is the first of its kind after another, so that a run shows where it goes on."""
        if event.kind != self.newest.kind:
            self.last = float("-inf")
        self.newest = event
        self.should_stop()

    def should_stop(self) -> bool:
        if not self.stopping and time.monotonic() - self.last >= EXCHANGE_SECONDS:
            self.last = time.monotonic()
            self.stopping = self.exchange(self.newest)
        return self.stopping


def main(argv: list[str]) -> int:
    """Do errand INDEX of FOLDER. SIGTERM, SIGINT and SIGUSR2 (Slurm, before it ends a job) checkpoint and leave."""
    folder, index = ErrandFolder(Path(argv[0])), int(argv[1])
    leaving: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
        signal.signal(number, lambda number, frame: leaving.append(number))
    reporter = Reporter(folder.tell, Event("start", index))
    folder.tell(perform(folder.errand(index), reporter.tell, lambda: bool(leaving) or reporter.should_stop()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
