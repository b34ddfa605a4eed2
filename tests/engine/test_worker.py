"""Failures inside a run are that run's; failures of the disk are the study's."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.ablate import main
from harness.engine.event import Event
from harness.engine.local import LocalEngine
from harness.engine.patience import Patience
from harness.spec.spec import Choice
from tests.engine.tiny_jobs import bits, tiny_jobs
from variants import registry

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


@contextlib.contextmanager
def variants(bodies: dict[str, str]) -> Iterator[None]:
    """Activations made of these bodies, for a while."""
    paths = []
    try:
        for name, body in bodies.items():
            paths.append(registry.source("activation", "gelu").with_name(f"{name}.py"))
            paths[-1].write_text(VARIANT.format(name=name, body=body))
        yield
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


def test_a_failing_arm_does_not_stop_the_study(
    tiny_flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Errors, memory that is not there, the kernel's out-of-memory killer, a loss that is NaN, stray output."""
    arms = {f"{name}_for_a_test": arm for name, arm in ARMS.items()}
    with variants({name: body for name, (body, _, _) in arms.items()}):
        command = [f"activation={','.join(arms)},relu", *tiny_flags, "--seeds", "1", "--score", "none", "--json"]
        assert main(command) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    found = {run["arm"]: run for run in result["runs"]}
    assert {name for name in found if found[name]["status"] == "finished"} > {"gpt2", "activation=relu"}
    for name, (_, status, reason) in arms.items():
        run = found[f"activation={name}"]
        assert (run["status"], reason in run["reason"]) == (status, True), run
        if status != "finished":
            assert f"activation={name} seed 0 {status}: " in printed.err
    verdicts = {c["arm"]: c["verdict"] for c in result["comparisons"]}
    assert set(verdicts.values()) <= {None, "inconclusive"}
    assert "noise" in next(tmp_path.glob("out/*/workers.log")).read_text()


def test_a_run_that_hung_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "hung"
    monkeypatch.setenv("MARKER", str(marker))
    body = (
        "if self.calls > 210 and not Path(os.environ['MARKER']).exists():"
        " Path(os.environ['MARKER']).touch(); time.sleep(3600)"
    )
    patience = Patience(first=300.0, least=2.0, multiple=10.0)
    found = []
    with variants({"hangs_for_a_test": body}):
        for folder in ("hung", "not"):
            (tmp_path / f"{folder}-study").mkdir()
            (job,) = tiny_jobs(tmp_path / f"{folder}-study", 1, 400)
            job = dataclasses.replace(
                job, spec=job.spec.replace(activation=Choice("hangs_for_a_test")), checkpoint_seconds=0.001
            )
            events: list[Event] = []
            LocalEngine(1, tmp_path / "workers.log", patience).run([job], events.append)
            found.append((bits([job]), [e.reason for e in events if e.kind == "note"], events))
    (hung, notes, events), (whole, no_notes, _) = found
    assert hung == whole
    assert hung[0][0] == "finished"
    assert no_notes == []
    assert len(notes) == 1
    assert "made no progress for" in notes[0]
    assert notes[0].endswith("was killed after step 200")
    steps = [event.step for event in events if event.kind == "progress"]
    assert sorted(set(steps)) == list(range(50, 401, 50))
    assert len(steps) <= 8 + 1, "it went on from a checkpoint, and not from the beginning"


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
