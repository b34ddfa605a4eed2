"""A run over two processes loses one, is told to leave, is stopped, and is ended by one, with the losses of one."""

from __future__ import annotations

import dataclasses
import signal
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from harness.data import dataset
from harness.engine import torchrun
from harness.engine.event import Event
from harness.engine.job import Job, data_folder, execute
from harness.engine.local import LocalEngine
from harness.engine.torchrun import LostProcessError, RankError
from harness.model.transformer import Transformer
from harness.records.record import RunRecord
from harness.records.store import RunStore, StoreError
from harness.score.perplexity import validation_loss
from harness.spec.spec import Choice
from harness.train.checkpoint import checkpoints
from harness.train.parallel import Parallel
from tests.engine.studies import listeners, needs_proc, send
from tests.engine.tiny_jobs import tiny_jobs

STEPS = 250
"""Five looks of the trainer: three that are disturbed, and two more."""


def job_in(folder: Path, parallel: Parallel | None) -> Job:
    (job,) = tiny_jobs(folder, 1, STEPS)
    return dataclasses.replace(job, spec=job.spec.replace(ffn=Choice("moe")), parallel=parallel)


def ranks(folder: Path) -> list[int]:
    """The processes that train runs of a store in `folder`, from the kernel's own list; torchrun is not among them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if "harness.engine.rank" in words and "torch.distributed.run" not in words and str(folder) in "".join(words):
            found.append(int(path.parent.name))
    return sorted(found)


class Disturber:
    """Listens to a run of two processes and disturbs it each time it comes further; the third time it interrupts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps: list[int] = []
        self.notes: list[str] = []
        self.listening: list[str] = []
        self.disturbed: set[int] = set()  # processes, and those beside them

    def hear(self, event: Event) -> None:
        if event.kind == "note":
            self.notes.append(event.reason)
        pids = ranks(self.folder)
        if event.kind != "progress" or len(pids) < 2 or self.disturbed.intersection(pids):  # said before it
            return
        self.disturbed.update(pids)
        self.steps.append(event.step)
        if len(self.steps) == 3:
            raise KeyboardInterrupt
        self.listening += listeners(pids)
        assert send(pids[1], signal.SIGKILL if len(self.steps) == 1 else signal.SIGTERM)


@needs_proc
def test_two_processes_disturbed_then_one(tmp_path: Path) -> None:
    """SIGKILL and SIGTERM to a process, then Ctrl-C; each time the run goes on from its last checkpoint."""
    two = job_in(tmp_path, Parallel("fsdp", 2))
    disturber = Disturber(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        LocalEngine(1, tmp_path / "workers.log").run([two], disturber.hear)
    assert not ranks(tmp_path), "a process outlives its run"
    assert disturber.listening, "gloo listens somewhere"
    assert {address.split(":")[0] for address in disturber.listening} == {"127.0.0.1"}
    assert RunStore(two.store).get(two.key) is None
    killed, told = disturber.notes
    assert killed == "the worker process lost another process of the run after step 50"
    assert told == "a process was told to leave (SIGTERM); the run goes on"
    steps = disturber.steps
    assert steps[0] == 50
    assert steps[1] in (50, 100)  # killed before its checkpoint was whole, or after
    assert steps[2] > steps[1], "what was checkpointed at SIGTERM was lost"

    one = dataclasses.replace(two, parallel=Parallel("fsdp", 1))
    at = int(checkpoints(RunStore(one.store).folder(one.lineage_key) / "checkpoints")[-1].name.removeprefix("step-"))
    assert at >= steps[2]
    events: list[Event] = []
    LocalEngine(1, tmp_path / "workers.log").run([one], events.append)
    record = RunStore(one.store).get(one.key)
    assert record is not None
    assert record.reason == f"trained by fsdp over 2 processes from step 0, by fsdp over 1 process from step {at}"
    notes = [event.reason for event in events if event.kind == "note"]
    assert notes == [f"trained by fsdp over 2 processes up to step {at}, the run goes on by fsdp over 1 process"]
    assert next(event.step for event in events if event.kind == "progress") > at
    check_record(record, one)
    assert not list(RunStore(one.store).folder(one.lineage_key).glob("checkpoints"))
    assert not list(Path(one.store).rglob("ranks-*"))


def check_record(record: RunRecord, job: Job) -> None:
    """The losses are those of a run that was never split; documents and digest are of the weights that were kept."""
    plain = execute(dataclasses.replace(job, parallel=None))
    assert plain is not None
    assert record.status == plain.status == "finished"
    ours, theirs = (np.array([loss for _, _, loss in r.curve]) for r in (record, plain))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)  # rounding grows over the steps; assumption
    assert theirs[-1] < 0.8 * theirs[0]
    assert record.moe_health is not None
    model = Transformer(job.spec, seed=1)
    weights = RunStore(job.store).folder(job.key) / "weights.safetensors"
    model.load_state_dict(load_file(weights), strict=False)
    loss = validation_loss(model, dataset.load(data_folder(job.store), job.data_sha256))
    assert loss.documents.tolist() == record.documents


def test_the_processes_are_part_of_a_runs_identity_and_not_of_its_checkpoints(tmp_path: Path) -> None:
    jobs = [job_in(tmp_path, Parallel(kind, n)) for kind in ("ddp", "fsdp") for n in (1, 2)]
    plain = job_in(tmp_path, None)
    assert len({plain.key, *(job.key for job in jobs)}) == 5
    assert len({job.lineage_key for job in jobs}) == 1
    assert jobs[0].lineage_key not in (plain.key, *(job.key for job in jobs))
    assert "parallel" not in plain.identity
    assert Job.from_json(jobs[3].to_json()) == jobs[3]


@pytest.mark.parametrize(
    ("ending", "reports", "error", "sentence"),
    [
        ({}, [], LostProcessError, "lost"),
        ({}, [("RuntimeError: peer", 2.0)], LostProcessError, "lost"),
        ({}, [("RuntimeError: peer", 2.0), ("ValueError: mine", 1.0)], RankError, "^ValueError: mine$"),
        ({"event": "broken", "reason": "disk full"}, [], StoreError, "disk full"),
    ],
)
def test_how_a_run_ended(
    tmp_path: Path, ending: dict[str, str], reports: list[tuple[str, float]], error: type[Exception], sentence: str
) -> None:
    """A process that raised says so; where one says nothing it was killed, and the others only noticed."""
    job = job_in(tmp_path, Parallel("fsdp", 2))
    for rank, (reason, time) in enumerate(reports):
        (tmp_path / f"failed-{rank}.json").write_text(f'{{"reason": "{reason}", "time": {time}}}')
    with pytest.raises(error, match=sentence):
        torchrun._ending(job, ending, tmp_path)
