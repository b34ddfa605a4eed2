"""One of the processes that train a run together; torchrun starts as many as are needed, with a folder as argument.

`RANK` says which one it is. The first holds the lock of the run's checkpoints, writes its files and record, and tells
of it as JSON lines on stdout (harness/engine/worker.py). All leave with a checkpoint when stdin ends or SIGTERM comes
to any of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

import torch
import torch.distributed as dist

from harness.engine.job import Job, train_and_validate
from harness.engine.worker import Worker, private_pipes, warnings_as_notes
from harness.records.store import RunStore, StoreError
from harness.train.checkpoint import CheckpointError
from harness.train.device import choose_device, prepare_process
from harness.train.team import Team


def main(argv: list[str]) -> int:
    """Do this process's part of the run in folder argv[0]."""
    folder, rank = Path(argv[0]), int(os.environ["RANK"])
    worker = Worker(*private_pipes())
    if rank != 0:
        worker.events = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, worker.on_sigterm)
    threading.Thread(target=worker.read, daemon=True).start()
    job = Job.from_json(json.loads((folder / "job.json").read_text()))
    assert job.parallel is not None
    try:
        with warnings_as_notes(worker.send):
            status = train_part(job, Team(job.parallel, rank, folder / "meeting"), device_of(job), worker)
        worker.send(event="end", status=status)
        dist.destroy_process_group()
    except (StoreError, CheckpointError) as error:
        worker.send(event="broken", reason=f"{job.store}: {error}")
        return 1
    except Exception as error:  # whatever a variant raises is that run's failure
        traceback.print_exc()
        report = {"time": time.monotonic(), "reason": f"{type(error).__name__}: {error}"}
        (folder / f"failed-{rank}.json").write_text(json.dumps(report))
        return 1
    return 0


def device_of(job: Job) -> torch.device:
    """The CPU, or the GPU of this process."""
    device = choose_device(job.device)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    return device


def train_part(job: Job, team: Team, device: torch.device, worker: Worker) -> str:
    """Train with the others and keep the record; how the run ended."""
    prepare_process(device)
    store, lineage = RunStore(job.store), job.lineage_key
    checkpoints = store.folder(lineage) / "checkpoints"
    lock = contextlib.nullcontext(False)
    if team.first:  # held here and not by the launcher: it may be replaced while these processes write
        lock = store.lock(lineage, on_wait=lambda: worker.send(event="waiting"), should_stop=lambda: worker.leaving)
    with lock as held:
        if not team.agree(held):
            return "stopped"
        record = train_and_validate(
            job,
            store,
            checkpoints,
            on_progress=lambda step, loss: worker.send(event="progress", step=step, loss=loss),
            on_score=lambda name: worker.send(event="scoring", reason=name),
            should_stop=lambda: worker.leaving,
            crew=team,
            device=device,
        )
        if team.first and record is not None:
            store.put(record)
            shutil.rmtree(checkpoints, ignore_errors=True)
        team.agree(False)  # a process that ends while others work is taken for lost
    return "stopped" if record is None else record.status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
