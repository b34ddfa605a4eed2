"""Failures inside a run are that run's; failures of the disk are the study's."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.ablate import main
from variants import registry

BROKEN = '''
from torch import nn
from variants.registry import register

@register("activation", "{name}")
class Broken(nn.Module):
    """Broken: {what} when called on more than one text. 2026."""

    num_projections = 1
    flops_per_unit = 1

    def forward(self, up):
        {what}
'''


@pytest.mark.parametrize(
    ("what", "reason"),
    [("raise RuntimeError('out of memory')", "out of memory"), ("import os; os._exit(9)", "worker process died")],
)
def test_a_failing_arm_does_not_stop_the_study(
    what: str, reason: str, tiny_flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    name = "broken_for_a_test"
    path = registry.source("activation", "gelu").with_name(f"{name}.py")
    path.write_text(BROKEN.format(name=name, what=what))
    try:
        assert main([f"activation={name},relu", "--json", *tiny_flags]) == 0
    finally:
        path.unlink()
    result = json.loads(capsys.readouterr().out)
    statuses = {(run["arm"], run["status"]) for run in result["runs"]}
    assert statuses == {("gpt2", "finished"), ("activation=relu", "finished"), (f"activation={name}", "failed")}
    assert all(reason in run["reason"] for run in result["runs"] if run["status"] == "failed")
    verdicts = {c["arm"]: c["verdict"] for c in result["comparisons"]}
    assert verdicts[f"activation={name}"] == "inconclusive"


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 3 MB, where the kernel lets us mount one."""
    folder = tmp_path / "small-disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a small tmpfs here (needs root)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_one_sentence(
    small_disk: Path, tiny_flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*tiny_flags, "--out", str(small_disk), "--checkpoint-seconds", "0.001"]
    assert main(["norm=rms", *flags, "--seeds", "1", "--steps", "5"]) == 0  # it fits, and is kept
    capsys.readouterr()
    (small_disk / "filler").write_bytes(b"x" * (shutil.disk_usage(small_disk).free - 16_384))
    assert main(["activation=relu", *flags, "--seeds", "1", "--steps", "300"]) == 1
    printed = capsys.readouterr().err
    assert "No space left" in printed
    assert "Traceback" not in printed
    (small_disk / "filler").unlink()
    assert main(["norm=rms", *flags, "--seeds", "1", "--steps", "5", "--json"]) == 0
    assert all(run["reused"] for run in json.loads(capsys.readouterr().out)["runs"])
