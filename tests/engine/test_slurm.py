"""The Slurm engine on submitit's local executor: the same bits, a killed job goes on, a stop leaves checkpoints."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("submitit", reason="the extra [slurm] is not installed")

from harness.engine import slurm
from harness.engine.event import Event
from harness.engine.job import Job
from harness.engine.slurm import SlurmEngine, SlurmOptions
from harness.records.store import RunStore
from tests.engine.tiny_jobs import bits, first_steps_after, local_bits, statuses, tiny_jobs, wait_for_checkpoint
from variants.errors import UserError

LOCAL = SlurmOptions(cluster="local")
STEPS = 1000
"""A few seconds: long enough to be killed in the middle."""


def process_of(job: Job) -> int:
    """The process that does the job with seed N, which is errand N; submitit's own and env's are left out."""
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().decode().split("\0")
        except (OSError, UnicodeDecodeError):
            continue
        errand = ["-m", "harness.engine.one_job", str(job.seed)]
        if [*words[1:3], *words[4:5]] == errand and words[3].startswith(job.store):
            return int(folder.name)
    raise AssertionError("no process does the job")


def run(jobs: Sequence[Job], **options: int) -> list[Event]:
    events: list[Event] = []
    SlurmEngine(Path(jobs[0].store) / "log", options=LOCAL, **options).run(jobs, events.append)
    return events


def test_a_killed_job_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    jobs = tiny_jobs(tmp_path, 2, STEPS)

    def kill() -> None:
        wait_for_checkpoint(jobs[0])
        os.kill(process_of(jobs[0]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    events = run(jobs)
    killer.join()
    assert statuses(events) == {0: "finished", 1: "finished"}
    (note,) = [index for index, event in enumerate(events) if event.kind == "note"]
    assert events[note].job == 0
    assert first_steps_after(events, note) > 50
    assert bits(jobs) == local_bits(4, STEPS)[:2]
    assert not list((tmp_path / "store").glob(".shared-*"))
    assert not list((tmp_path / "store" / "slurm").iterdir())


def test_an_interrupt_checkpoints(tmp_path: Path) -> None:
    (job,) = jobs = tiny_jobs(tmp_path, 1, 50_000)

    def interrupt(event: Event) -> None:
        if event.kind == "progress":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SlurmEngine(tmp_path / "log", options=LOCAL).run(jobs, interrupt)
    folder = RunStore(job.store).folder(job.key)
    assert list(folder.glob("checkpoints/step-*"))
    with RunStore(job.store).lock(job.key, should_stop=lambda: True) as held:
        assert held, "the run's process has not left"


def test_a_job_that_cannot_start_fails_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (job,) = jobs = tiny_jobs(tmp_path, 1, 10)
    monkeypatch.setattr(slurm.sys, "executable", "/bin/false")
    events = run(jobs)
    assert statuses(events) == {0: "failed"}
    assert "ended without a word" in events[-1].reason
    assert "3 times" in events[-1].reason
    record = RunStore(job.store).get(job.key)
    assert record is not None
    assert record.reason == events[-1].reason
    assert "slurm" in (Path(job.store) / "log").read_text()


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with srun, and an sbatch that keeps what it is handed in this file, and refuses."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name, does in {"srun": "", "sbatch": f"cat $1 > {tmp_path}/handed; echo Invalid account >&2; exit 1"}.items():
        (bin_folder / name).write_text(f"#!/bin/sh\n{does}\n")
        (bin_folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}:{os.environ['PATH']}")
    return tmp_path / "handed"


def test_what_is_asked_of_slurm(tmp_path: Path, recorded: Path) -> None:
    options = SlurmOptions.from_flags("short", 90, ["account=physics", "mem=2G"])
    jobs = tiny_jobs(tmp_path, 1, 10)
    with pytest.raises(UserError, match=r"sbatch refused a job .*Invalid account"):
        SlurmEngine(tmp_path / "log", options=options).run(jobs, lambda event: None)
    asked = {line.removeprefix("#SBATCH --") for line in recorded.read_text().splitlines() if "#SBATCH" in line}
    assert {"partition=short", "time=90", "account=physics", "mem=2G", "cpus-per-task=1"} <= asked
    assert not any("gpus" in line for line in asked)
    assert subprocess.run(["sh", "-n", recorded], check=False).returncode == 0


def test_no_slurm_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="login node"):
        SlurmEngine(tmp_path / "log").run(tiny_jobs(tmp_path, 1, 10), lambda event: None)


@pytest.mark.parametrize("text", ["account", "=x", "Mem=2G", "a b=c", "$(x)=1"])
def test_a_wrong_option(text: str) -> None:
    with pytest.raises(UserError, match="NAME=VALUE"):
        SlurmOptions.from_flags(None, 1, [text])
