"""Studies as separate processes that tests kill, and what is compared of them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.clone import ROOT

SIZE = ["--size", "1x16", "--heads", "2", "--seq-len", "16", "--tokens-per-step", "64", "--device", "cpu"]
COMPARED = ("arm", "seed", "status", "key", "weights_sha256", "curve_sha256", "scores")

JUMPING_CLOCK = """
import random, time
real, rng = time.time, random.Random()
time.time = lambda: real() + rng.uniform(-1e9, 1e9)
time.time_ns = lambda: int(time.time() * 1e9)
"""

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc to find the workers")


def listen() -> None:
    """Ctrl-C is heard, also where the tests run in a shell's background, which ignores it for its children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Study:
    """The command of a study, to be started, killed and started again."""

    def __init__(self, tokens: Sequence[str], text: Path, out: Path, clone: Path = ROOT, /, **environment: str) -> None:
        more = ["--data", str(text), "--out", str(out), "--workers", "2", "--checkpoint-seconds", "0.2", "--json"]
        self.command = [sys.executable, "-m", "harness.ablate", *tokens, *SIZE, *more]
        self.out, self.clone, self.environment = out, clone, {**os.environ, **environment}

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command,
            cwd=self.clone,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=listen,
        )

    def finish(self) -> tuple[list[dict[str, object]], str]:
        """Run it to its end; what is compared of its runs, and what it printed."""
        return self.end_of(self.start())

    def end_of(self, process: subprocess.Popen[str]) -> tuple[list[dict[str, object]], str]:
        out, printed = process.communicate(timeout=600)
        assert process.returncode == 0, printed
        return [{k: run[k] for k in COMPARED} for run in json.loads(out)["runs"]], printed

    def checkpoints(self) -> set[Path]:
        walk = os.walk(self.out)  # pathlib's own raises where a run ends and its folder goes meanwhile
        return {Path(folder, name) for folder, names, _ in walk for name in names if name.startswith("step-")}

    def wait_for_checkpoint(self, process: subprocess.Popen[str]) -> None:
        """Return when some run has written a checkpoint this call did not find at first."""
        known, deadline = self.checkpoints(), time.monotonic() + 120
        while not self.checkpoints() - known:
            assert process.poll() is None, "it ended before there was a checkpoint"
            assert time.monotonic() < deadline, "no checkpoint was written"
            time.sleep(0.02)


def children(pid: int) -> list[int]:
    """The worker processes of a study, from the kernel's own lists: one a thread, and each worker has its thread."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return [int(pid) for path in Path(f"/proc/{pid}/task").glob("*/children") for pid in path.read_text().split()]
    return []


def kill(process: subprocess.Popen[str], *others: int) -> None:
    """SIGKILL to a study and to other processes, at once."""
    for pid in (process.pid, *others):
        send(pid, signal.SIGKILL)
    process.communicate()


def send(pid: int, number: signal.Signals) -> bool:
    """Send a signal; whether there was a process to take it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def jumping_clock(folder: Path) -> dict[str, str]:
    """The environment of processes whose wall clock jumps by up to 30 years at every look."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(JUMPING_CLOCK)
    return {"PYTHONPATH": str(folder)}


def listeners(pids: Sequence[int]) -> list[str]:
    """address:port of the TCP sockets in state LISTEN (0A) that these processes have open, from /proc."""
    addresses = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                host, port = fields[1].split(":")
                name = socket.inet_ntoa(bytes.fromhex(host)[::-1]) if len(host) == 8 else f"[{host}]"
                addresses[f"socket:[{fields[9]}]"] = f"{name}:{int(port, 16)}"
    links = {os.readlink(path) for pid in pids for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()}
    return sorted(address for inode, address in addresses.items() if inode in links)
