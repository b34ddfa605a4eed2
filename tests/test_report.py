"""The command: from records to report, in one sentence when it cannot, and without torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.records.example import example_runs, example_study
from harness.records.ladder import LadderRecord, RungRecord, write_ladder
from harness.records.study import write_study
from harness.report import main

ROOT = Path(__file__).parents[1]
BASE = [1.650, 1.655, 1.648, 1.652]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_study(
        tmp_path / "study",
        example_study(("gpt2", "norm=rms", "norm=none")),
        example_runs({"gpt2": BASE, "norm=rms": [1.651, 1.654, 1.650, 1.6505], "norm=none": [None] * 4}),
    )
    return tmp_path / "study"


def test_it_prints_the_verdicts_and_where_the_report_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0].startswith(
        "norm=rms is EQUIVALENT to gpt2 within 0.01 nats per byte: +0.0001 [-0.0025, +0.0028], 4"
    )
    assert lines[2].startswith("norm=none is WORSE than gpt2")
    assert lines[-1] == f"report: {folder / 'report.html'}"
    assert (folder / "report.html").exists()


def test_a_study_without_arms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path, example_study(("gpt2",)), example_runs({"gpt2": BASE}))
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("No comparison: gpt2 is the only arm\n")


@pytest.mark.parametrize("arguments", [[], ["one", "two"], ["--nonsense", "one"], ["/nowhere/at/all"]])
def test_bad_input_is_one_sentence_and_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_a_damaged_study_is_one_sentence_and_exit_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "runs.jsonl"
    path.write_bytes(path.read_bytes()[:-100])
    assert main([str(folder)]) == 2
    assert "is not readable JSON" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_exit_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "report.html").mkdir()
    assert main([str(folder)]) == 1
    assert "cannot write" in capsys.readouterr().err


def test_a_report_writes_into_its_own_folder_alone(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A study from somebody else may hold links: a folder is refused, a file is replaced and its target left alone."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes").write_text("years of work")
    (folder / "report.html").symlink_to(mine / "notes")
    assert main([str(folder)]) == 0
    assert not (folder / "report.html").is_symlink()
    shutil.rmtree(folder / "tables")
    (folder / "tables").symlink_to(mine)
    capsys.readouterr()
    assert main([str(folder)]) == 2
    assert capsys.readouterr().err.endswith("and a report writes into its own folder alone; remove it\n")
    assert [(path.name, path.read_text()) for path in mine.iterdir()] == [("notes", "years of work")]


@pytest.mark.parametrize("name", ["../evil", "/tmp", "..", ".", "a/b", ""])
def test_a_rung_is_a_folder_of_its_ladder(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rung = RungRecord("1e9", name, "ab")
    write_ladder(tmp_path, LadderRecord("l", [], "2026", "budgets", "as given", False, "gpt2", ["norm=rms"], [rung]))
    assert main([str(tmp_path)]) == 2
    assert "which is no folder of its own; it was edited" in capsys.readouterr().err


def test_it_runs_where_torch_is_not(folder: Path) -> None:
    script = """
import json, sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "lm_eval", "datasets", "optuna"):
            raise ImportError(f"{name} was imported")
sys.meta_path.insert(0, NoTorch())
from harness.report import main
code = main(sys.argv[1:])
print(json.dumps([code, sorted(m for m in sys.modules if m.split(".")[0] == "torch")]))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]
    assert done.stderr == ""


def test_it_is_a_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness.report", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {tmp_path} is not a study: it has no study.json")
