"""Failures inside a run are that run's; failures of the disk are the study's."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.ablate import main
from harness.engine.event import Event
from harness.engine.local import LocalEngine
from harness.engine.patience import Patience
from tests.clone import clone_with
from tests.engine.studies import children, needs_proc, send
from tests.engine.tiny_jobs import bits, local_bits, tiny_jobs

VARIANT = '''
import os, signal, sys, time
from pathlib import Path
import torch
from torch import nn
from torch.nn import functional as F
from variants.registry import register

@register("activation", "{name}")
class Odd(nn.Module):
    """Odd: relu that does something else in some call. 2026."""

    num_projections = 1
    flops_per_unit = 1

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, up):
        self.calls += 1
        y = F.relu(up)
        if self.calls > 3:  # in training, and not where the study looks at an arm
            {body}
        return y
'''

ARMS = {
    "raises": ("raise RuntimeError('a bug')", "failed", "RuntimeError: a bug"),
    "at_once": ("pass\n        raise RuntimeError('a bug')", "failed", "RuntimeError: a bug"),
    "allocates": ("torch.empty(1 << 50)", "failed", "allocate memory"),
    "memory": ("raise MemoryError", "failed", "MemoryError"),
    "fork": ("raise OSError(12, 'Cannot allocate memory')", "failed", "OSError: [Errno 12] Cannot allocate memory"),
    "killed": (
        "os.kill(os.getpid(), signal.SIGKILL)",
        "failed",
        "died 3 times, the last one was killed (signal 9), perhaps out of memory",
    ),
    "nan": ("y = y * (float('nan') if self.calls == 8 else 1.0)", "diverged", "nan at step 7 of 60"),
    "talks": ("os.write(1, b'noise'); print('more'); assert sys.stdin.readline() == ''", "finished", ""),
}


def test_a_failing_arm_does_not_stop_the_study(tiny_flags: list[str], tmp_path: Path) -> None:
    """Errors, memory that is not there, the kernel's out-of-memory killer, a loss that is NaN, stray output."""
    files = {name: VARIANT.format(name=name, body=body) for name, (body, _, _) in ARMS.items()}
    clone = clone_with(tmp_path / "clone", "activation", files)
    words = [f"activation={','.join(ARMS)},relu", *tiny_flags, "--seeds", "1", "--score", "none", "--json"]
    command = [sys.executable, "-m", "harness.ablate", *words]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    found = {run["arm"]: run for run in result["runs"]}
    assert {name for name in found if found[name]["status"] == "finished"} > {"gpt2", "activation=relu"}
    for name, (_, status, reason) in ARMS.items():
        run = found[f"activation={name}"]
        assert (run["status"], reason in run["reason"]) == (status, True), run
        if status != "finished":
            assert f"activation={name} seed 0 {status}: " in done.stderr
    verdicts = {c["arm"]: c["verdict"] for c in result["comparisons"]}
    assert set(verdicts.values()) <= {None, "inconclusive"}
    assert "noise" in next(tmp_path.glob("out/*/workers.log")).read_text()


class Freezer:
    """Listens to a study of one worker and stops that worker once, when it has written a checkpoint."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.frozen = False

    def hear(self, event: Event) -> None:
        self.events.append(event)
        if event.kind == "progress" and event.step >= 100 and not self.frozen:
            self.frozen = True
            assert [send(pid, signal.SIGSTOP) for pid in workers()] == [True]


def workers() -> list[int]:
    """The worker processes of this one."""
    own = children(os.getpid())
    return [pid for pid in own if b"harness.engine.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@needs_proc
def test_a_run_that_hung_goes_on_where_it_was(tmp_path: Path) -> None:
    """A worker that is stopped says nothing and hears no SIGTERM, as one that hangs in the kernel."""
    patience = Patience(first=300.0, least=2.0, multiple=10.0)
    (job,) = tiny_jobs(tmp_path, 1, 1000)
    job = dataclasses.replace(job, checkpoint_seconds=0.001)
    freezer = Freezer()
    LocalEngine(1, tmp_path / "workers.log", patience).run([job], freezer.hear)
    assert bits([job]) == local_bits(1, 1000)
    (note,) = [event.reason for event in freezer.events if event.kind == "note"]
    assert "made no progress for" in note
    assert "was killed after step" in note
    steps = [event.step for event in freezer.events if event.kind == "progress"]
    assert sorted(set(steps)) == list(range(50, 1001, 50))
    assert steps.count(50) == 1, "it went on from a checkpoint, and not from the beginning"


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 3 MB, where the kernel lets us mount one."""
    folder = tmp_path / "small-disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a small tmpfs here (needs root)")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_one_sentence_and_the_study_continues_when_there_is_room(
    small_disk: Path, tmp_path: Path, tiny_flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*tiny_flags, "--checkpoint-seconds", "0.001", "--seeds", "1", "--score", "none"]
    first, later = ["norm=rms", *flags, "--steps", "5"], ["activation=relu", *flags, "--steps", "300", "--json"]
    here = ["--out", str(small_disk)]
    assert main([*first, *here]) == 0  # it fits, and is kept
    capsys.readouterr()
    (small_disk / "filler").write_bytes(b"x" * (shutil.disk_usage(small_disk).free - 16_384))
    assert main([*later, *here]) == 1
    printed = capsys.readouterr().err
    assert "No space left" in printed
    assert "Traceback" not in printed
    assert not list(small_disk.rglob("writing-*"))
    (small_disk / "filler").unlink()
    assert main([*first, *here, "--json"]) == 0
    assert all(run["reused"] for run in json.loads(capsys.readouterr().out)["runs"])
    digests = []
    for place in (here, ["--out", str(tmp_path / "elsewhere")]):
        assert main([*later, *place]) == 0
        runs = json.loads(capsys.readouterr().out)["runs"]
        digests.append([(run["weights_sha256"], run["curve_sha256"]) for run in runs])
    assert digests[0] == digests[1]


def test_a_read_only_folder_is_one_sentence(
    small_disk: Path, tiny_flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for flags in (["--out", str(small_disk)], ["--store", str(small_disk / "store")]):
        assert main(["norm=rms", *tiny_flags, *flags]) == 1
        printed = capsys.readouterr().err
        assert "cannot be written (Read-only file system); choose another --out or --store" in printed
        assert printed.count("\n") == 1
