"""Run jobs as Slurm jobs, handed in by submitit: one job a run, one core each, and a GPU where the device is one.

Each job is `python -m harness.engine.one_job FOLDER INDEX`. Study and jobs speak through FOLDER, in the store on the
shared disk (harness/engine/errand.py), so nothing listens anywhere. What submitit keeps in FOLDER/submitit is its own:
our code reads no pickle of it. A job that is killed or out of time is handed in again, and goes on from its last
checkpoint. Jobs outlive a study that is killed; the same command, given again, finds what they have done.
"""

from __future__ import annotations

import datetime
import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError

from harness.engine.engines import SLURM_MINUTES
from harness.engine.errand import ErrandFolder, common_store, errands_of, marked
from harness.engine.event import Event
from harness.engine.job import Job
from harness.engine.local import STOP_SECONDS
from harness.engine.roster import Roster
from harness.train.device import choose_device
from variants.errors import UserError

POLL_SECONDS = 0.5
"""Between two looks at what jobs have told. Assumption: half of what a run takes to speak again."""

LINGER_SECONDS = 5.0
"""How long jobs that have said their last word may take to leave before their folder is removed. Assumption."""


@dataclass(frozen=True)
class SlurmOptions:
    """What is asked of Slurm for each run.

    Args:
        partition: None: the cluster's default.
        minutes: after which Slurm ends a job; a longer run goes on in a new one.
        more: (NAME, VALUE) of further `sbatch --NAME=VALUE`.
        cluster: `slurm`, or `local`: submitit's processes on this machine, to try it without Slurm.
    """

    partition: str | None = None
    minutes: int = SLURM_MINUTES
    more: tuple[tuple[str, str], ...] = ()
    cluster: str = "slurm"

    @classmethod
    def from_flags(cls, partition: str | None, minutes: int, more: Sequence[str]) -> SlurmOptions:
        """The options of the command line, `more` as NAME=VALUE.

        Raises:
            UserError: one of `more` is not of that form.
        """
        pairs = []
        for text in more:
            name, equals, value = text.lstrip("-").partition("=")
            if not equals or not re.fullmatch(r"[a-z][a-z-]*", name):
                raise UserError(f"--slurm-option takes sbatch's NAME=VALUE, e.g. account=physics, got {text!r}")
            pairs.append((name, value))
        return cls(partition, minutes, tuple(pairs))


class SlurmEngine:
    """Jobs on a Slurm cluster, through submitit.

    Args:
        log: file that receives where the logs of jobs are, when some run did not finish.
        num_workers: jobs handed in at a time; None: all, and Slurm decides.
        options: what is asked of Slurm.
    """

    def __init__(self, log: Path, num_workers: int | None = None, options: SlurmOptions | None = None) -> None:
        self.log, self.num_workers, self.options = log, num_workers, options or SlurmOptions()

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> None:
        """Run every job; each leaves its record in its store. An interrupt checkpoints the runs and is raised again.

        Raises:
            StoreError: a record or checkpoint could not be written.
            UserError: there is no Slurm here, it refuses the options, or a node would not give the same bits.
        """
        if not jobs:
            return
        with marked(common_store(jobs)) as mark:
            errands = errands_of(jobs, mark)
            stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
            path = Path(errands[0].job.store) / "slurm" / f"{stamp}-{mark.rpartition('-')[2]}"
            executor = executor_for(
                self.options, path / "submitit", choose_device(errands[0].job.device).type == "cuda"
            )
            folder = ErrandFolder(path)
            folder.create(errands)
            roster = Roster(jobs, on_event)
            _Study(roster, folder, executor, self.num_workers or len(jobs)).run()
        if roster.failed:
            with self.log.open("a") as log:
                log.write(f"{len(roster.failed)} runs failed; what their jobs printed is in {path / 'submitit'}\n")
        else:
            shutil.rmtree(path, ignore_errors=True)


def executor_for(options: SlurmOptions, folder: Path, on_gpu: bool) -> submitit.AutoExecutor:
    """submitit's executor with what one run needs.

    Raises:
        UserError: there is no Slurm on this machine.
    """
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=options.cluster)
    except RuntimeError as error:
        raise UserError(
            "--engine slurm hands jobs in with sbatch and srun, which are not on this machine; "
            "run the command on a login node of the cluster"
        ) from error
    executor.update_parameters(
        name="ablation",
        timeout_min=options.minutes,
        cpus_per_task=1,
        tasks_per_node=1,
        slurm_additional_parameters=dict(options.more),
        **({"gpus_per_node": 1} if on_gpu else {}),  # a cluster without GPUs may refuse to be asked for none
        **({"slurm_partition": options.partition} if options.partition else {}),
    )
    return executor


class _Study:
    """The errands of a study as jobs of `executor`, at most `room` at a time."""

    def __init__(self, roster: Roster, folder: ErrandFolder, executor: submitit.AutoExecutor, room: int) -> None:
        self.roster, self.folder, self.executor, self.room = roster, folder, executor, room
        self.flying: dict[int, Any] = {}  # Slurm's job of an errand
        self.spoke: set[str] = set()  # ids of jobs that have told anything
        self.read: dict[int, int] = {}  # bytes of what was told of an errand
        self.leaving: list[Any] = []  # jobs that have said their last word

    def run(self) -> None:
        try:
            while self.roster.waiting or self.flying:
                while self.roster.waiting and len(self.flying) < self.room:
                    self._hand_in(self.roster.waiting.popleft())
                time.sleep(POLL_SECONDS)
                for index in list(self.flying):
                    self._look(index)
        finally:
            if self.flying:
                self._stop()
        _wait(self.leaving, LINGER_SECONDS)

    def _hand_in(self, index: int) -> None:
        threads = ["env", "OMP_NUM_THREADS=1", "MKL_NUM_THREADS=1"]
        command = [*threads, sys.executable, "-m", "harness.engine.one_job", str(self.folder.path), str(index)]
        try:
            self.flying[index] = self.executor.submit(submitit.helpers.CommandFunction(command, cwd=Path.cwd()))
        except (FailedJobError, FailedSubmissionError, OSError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"sbatch refused a job ({reason}); change --slurm-partition or --slurm-option") from error

    def _look(self, index: int) -> None:
        """Take what was told of an errand; one whose job is over without a last word is handed in again."""
        job = self.flying[index]
        over = job.done()  # before the last look at what it told
        events, self.read[index] = self.folder.told(index, self.read.get(index, 0))
        if events:
            self.spoke.add(job.job_id)
        for event in events:
            self.roster.hear(event)
        if index in self.roster.ended:
            self.leaving.append(self.flying.pop(index))
        elif over:
            del self.flying[index]
            if events and events[-1].status == "stopped":  # Slurm wanted the node, or the time was up
                self.roster.stopped(index)
            else:
                self.roster.lost(index, self._loss(job))

    def _loss(self, job: Any) -> str:
        if job.job_id in self.spoke:
            return f"Slurm job {job.job_id} was lost ({job.state})"
        return (
            f"Slurm job {job.job_id} ended without a word ({job.state}; the node must see "
            f"{self.folder.path} and have this installation)"
        )

    def _stop(self) -> None:
        """Have the runs checkpoint and leave; cancel those that wait for a node, and those that do not leave."""
        self.folder.say("stop")
        left = [job for index, job in self.flying.items() if index in self.roster.started]
        for index, job in self.flying.items():
            if index not in self.roster.started:
                job.cancel(check=False)
        for job in _wait(left, STOP_SECONDS):
            job.cancel(check=False)


def _wait(jobs: Sequence[Any], seconds: float) -> list[Any]:
    """The jobs that are not over after `seconds`."""
    deadline = time.monotonic() + seconds
    while (left := [job for job in jobs if not job.done()]) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return left
