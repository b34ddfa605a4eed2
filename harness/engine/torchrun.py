"""A run over several processes of this machine: torchrun starts them, each is a `harness.engine.rank`.

They find each other through a file, and talk over the loopback interface alone: torchrun's own meeting point would be
a server that listens on every interface, so it is given a file too (docs/decisions/0520). Whoever runs this hands down
the end of their stdin, so that they checkpoint and leave when it is gone, however it went.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.engine.job import Job
from harness.records.record import RunRecord
from harness.records.store import RunStore, StoreError
from harness.train.checkpoint import RunNote

ASK_SECONDS = 0.2
"""Between two questions whether to stop. Assumption: short beside a checkpoint."""

LOST = 75
"""Exit code of a worker whose run lost one of its processes; EX_TEMPFAIL of sysexits.h."""


class LostProcessError(RuntimeError):
    """A process of a run is gone. What it had checkpointed is there; the run can be taken up again."""


class RankError(RuntimeError):
    """The run itself raised; the message is that of the first process that did."""


@dataclass(frozen=True)
class Listener:
    """What is told of a run while it goes on; see `execute`."""

    on_progress: Callable[[int, float], None]
    on_score: Callable[[str], None]
    on_wait: Callable[[], None]
    should_stop: Callable[[], bool]

    def hear(self, event: dict[str, Any]) -> None:
        if event["event"] == "progress":
            self.on_progress(event["step"], event["loss"])
        elif event["event"] == "scoring":
            self.on_score(event["reason"])
        elif event["event"] == "waiting":
            self.on_wait()
        elif event["event"] == "note":
            warnings.warn(event["reason"], RunNote, stacklevel=2)


def train_in_team(job: Job, store: RunStore, listener: Listener) -> RunRecord | None:
    """Train and validate a run whose lock is held; its record is then in the store. None when stopped.

    Raises:
        LostProcessError: one of the processes died.
        RankError: what one of them raised.
        StoreError: the disk refused.
    """
    while True:
        status = _launch(job, store.folder(job.key), listener)
        if status != "stopped":
            return store.get(job.key)
        if listener.should_stop():
            return None
        listener.hear({"event": "note", "reason": "a process was told to leave (SIGTERM); the run goes on"})


def _launch(job: Job, folder: Path, listener: Listener) -> str:
    """Start the processes and listen until all are gone; how the run ended."""
    assert job.parallel is not None
    for abandoned in folder.glob("ranks-*"):  # by a launcher that was killed
        shutil.rmtree(abandoned, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="ranks-", dir=folder, ignore_cleanup_errors=True) as meeting:
        here = Path(meeting)
        (here / "job.json").write_text(json.dumps(job.to_json()))
        ending: dict[str, Any] = {}
        with (
            torchrun(job.parallel.processes, here, "harness.engine.rank", meeting) as process,
            _stopped_when(listener.should_stop, process),
        ):
            assert process.stdout is not None
            for line in process.stdout:
                event = json.loads(line)
                if event["event"] in ("end", "broken"):
                    ending = event
                else:
                    listener.hear(event)
        return _ending(job, ending, here)


def _ending(job: Job, ending: dict[str, Any], here: Path) -> str:
    if ending.get("event") == "broken":
        raise StoreError(ending["reason"])
    if ending:
        return ending["status"]
    reports = [json.loads(path.read_text()) for path in here.glob("failed-*.json")]
    assert job.parallel is not None
    if len(reports) < job.parallel.processes:  # one was killed: the others only noticed
        raise LostProcessError("a process of the run was lost; see the log for which")
    raise RankError(min(reports, key=lambda report: report["time"])["reason"])


@contextlib.contextmanager
def torchrun(processes: int, here: Path, module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`processes` that run a module, with one stdin and one stdout; nothing listens but on the loopback interface.

    Args:
        here: a new folder for what torchrun writes.
    """
    command = [
        *(sys.executable, "-m", "torch.distributed.run"),
        *("--nnodes", "1", "--nproc-per-node", str(processes), "--max-restarts", "0"),
        *("--rdzv-backend", "c10d", "--rdzv-endpoint", str(here / "torchrun"), "--rdzv-conf", "store_type=file"),
        *("--rdzv-id", "run", "--local-addr", "localhost", "--log-dir", str(here / "log")),
        *("-m", module, *arguments),
    ]
    lo = loopback()
    only_loopback = {"GLOO_SOCKET_IFNAME": lo, "NCCL_SOCKET_IFNAME": lo, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **only_loopback}
    )
    with process:  # leaving it closes the pipes, and waits
        yield process


@contextlib.contextmanager
def _stopped_when(should_stop: Callable[[], bool], process: subprocess.Popen[str]) -> Iterator[None]:
    """Close a process's stdin as soon as `should_stop` says so."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(ASK_SECONDS):
            if should_stop():
                assert process.stdin is not None
                process.stdin.close()
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def loopback() -> str:
    """The name of the loopback interface: lo on Linux, lo0 on macOS."""
    return next(name for _, name in socket.if_nameindex() if name in ("lo", "lo0"))
