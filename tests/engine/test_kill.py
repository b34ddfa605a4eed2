"""SIGKILL anywhere, twice, then finish: the same bits as a study that was never disturbed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SIZE = ["--size", "1x16", "--heads", "2", "--seq-len", "16"]
FLAGS = ["norm=rms", "--json", *SIZE, "--tokens-per-step", "64", "--steps", "1500", "--seeds", "2"]


def command(text: Path, out: Path) -> list[str]:
    more = ["--data", str(text), "--out", str(out), "--workers", "2", "--checkpoint-seconds", "0.2", "--device", "cpu"]
    return [sys.executable, "-m", "harness.ablate", *FLAGS, *more]


def finished(text: Path, out: Path) -> list[dict[str, object]]:
    done = subprocess.run(command(text, out), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    runs = json.loads(done.stdout)["runs"]
    return [{k: run[k] for k in ("arm", "seed", "status", "weights_sha256", "curve_sha256", "scores")} for run in runs]


def wait_for_checkpoint(folder: Path) -> None:
    """Return when some run under `folder` has written a checkpoint this call did not find at first."""
    known, deadline = set(folder.rglob("step-*")), time.monotonic() + 90
    while not set(folder.rglob("step-*")) - known:
        assert time.monotonic() < deadline, "no checkpoint was written"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    """The worker processes of a study, from the kernel's own list."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc to find the workers")
def test_killed_twice_gives_the_same_bits(small_text: Path, tmp_path: Path) -> None:
    expected = finished(small_text, tmp_path / "whole")
    rng = random.Random(int(os.environ.get("HARNESS_KILL_SEED", "0")))
    for _ in range(2):
        process = subprocess.Popen(
            command(small_text, tmp_path / "cut"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for_checkpoint(tmp_path / "cut")
        time.sleep(rng.uniform(0.0, 1.0))
        for pid in [process.pid, *children(process.pid)]:
            os.kill(pid, signal.SIGKILL)
        process.wait()
    assert finished(small_text, tmp_path / "cut") == expected


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_polite_stop_checkpoints_and_continues(
    small_text: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    process = subprocess.Popen(command(small_text, tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_checkpoint(tmp_path)
    process.send_signal(number)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == code
    assert "continues from here" in printed
    assert "Traceback" not in printed
    assert {run["status"] for run in finished(small_text, tmp_path)} == {"finished"}
