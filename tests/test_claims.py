"""The ledger through its command: a claim from a file to a word, resumed, rebuilt without torch, refused when wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.claims import main
from harness.records.store import RunStore

CLAIM = """
id = "X1"
title = "RMSNorm and half the steps"
statement = "A claim for a test."
matched = "training FLOPs"
seeds = 3
scores = ["extrapolation"]

[[source]]
key = "none"
where = "nobody"
figures = "none"

[[arm]]
name = "base"

[[arm]]
name = "half"
budget = 0.5

[[arm]]
name = "rms"
tokens = ["norm=rms"]
seeds = 2

[[timing]]
name = "speed"
arms = ["base", "rms"]
trained = true

[[question]]
name = "half is worse"
says = "half minus base"
measure = "contrast"
weights = { half = 1, base = -1 }
unit = "nats per byte"
rule = "above"
confirmatory = true

[[question]]
name = "compute"
says = "what the longer run is worth"
measure = "compute"
arm = "base"
ladder = ["half", "base"]
rule = "above"
null = 0.5

[[question]]
name = "learned positions end"
says = "no value past the table"
measure = "contrast"
weights = { base = 1 }
score = "sliding_2x"
rule = "below"

[[question]]
name = "speed"
says = "rms against base"
measure = "speed"
timing = "speed"
arm = "rms"
case = "train"
rule = "equal"
margin = 1000

[[question]]
name = "norms"
says = "parameters"
measure = "check"
check = "norm_costs"
value = "params_ratio"
rule = "exact"
expected = 0.5

[[question]]
name = "bf16"
says = "never"
measure = "untested"
rule = "untested"
reason = "there is no such device"
"""


@pytest.fixture
def flags(tmp_path: Path, small_text: Path) -> list[str]:
    """Flags of a ledger of the one claim that trains in seconds."""
    folder = tmp_path / "declared"
    folder.mkdir()
    (folder / "X1.toml").write_text(CLAIM)
    where = ["--claims", str(folder), "--data", str(small_text), "--out", str(tmp_path / "out"), "--device", "cpu"]
    return [*where, *["--scale", "rehearsal", "--steps", "60", "--blocks", "2", "--workers", "2"]]


def words(document: dict) -> dict[str, str]:
    (claim,) = document["claims"]
    return {question["name"]: question["word"] for question in claim["questions"]}


def test_a_claim_end_to_end(flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*flags, "--dry-run"]) == 0
    assert "8 runs in all, 8 to train" in capsys.readouterr().err
    assert not (tmp_path / "out" / "claims").exists()

    assert main([*flags, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    found = words(first)
    assert found["half is worse"] in ("supported", "direction only")
    assert found["speed"] == "equivalent"
    assert found["norms"] == "supported"
    assert found["bf16"] == "not tested"
    assert found["learned positions end"] == "inconclusive"
    questions = {q["name"]: q for q in first["claims"][0]["questions"]}
    assert questions["half is worse"]["value"] > 0
    assert questions["half is worse"]["seeds"] == 3
    assert questions["half is worse"]["p_adjusted"] is not None
    assert questions["compute"]["value"] == pytest.approx(1.0), "its own rung"
    assert "has no sliding_2x" in questions["learned positions end"]["reason"]
    assert "eager" in questions["speed"]["kernels"]

    folder = tmp_path / "out" / "claims"
    report = (folder / "report.md").read_text()
    assert "RMSNorm and half the steps" in report
    assert "There is no such device" in report
    assert (folder / "forest.svg").exists()
    assert (folder / "report.html").stat().st_size > 1000
    runs = {record.key for record in RunStore(tmp_path / "out" / "store")}
    assert len(runs) == 8

    files = {path: path.read_bytes() for path in folder.glob("*.*") if path.suffix in (".md", ".html", ".svg")}
    assert main([*flags, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again == first, "nothing is trained or timed anew"
    assert {record.key for record in RunStore(tmp_path / "out" / "store")} == runs

    code = (
        "import sys; from harness.report import main; code = main(sys.argv[1:]); "
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    for path in files:
        path.unlink()
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "X1 SUPPORTED" in done.stdout or "X1 DIRECTION ONLY" in done.stdout
    assert {path: path.read_bytes() for path in files} == files

    for path in files:
        path.unlink()
    assert main(["--report-only", "--out", str(tmp_path / "out")]) == 0
    assert {path: path.read_bytes() for path in files} == files

    assert main([*flags, "--seeds", "2", "--steps", "80"]) == 2
    assert "holds a ledger of another budget and num_steps" in capsys.readouterr().err
    evidence = folder / "evidence" / "X1.json"
    evidence.write_text(evidence.read_text().replace('"status": "finished"', '"status": "diverged"', 1))
    assert main(["--report-only", "--out", str(tmp_path / "out")]) == 2
    assert "edited by hand" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["X9"], "unknown claim 'X9'"),
        (["--scale", "nanno"], "unknown scale 'nanno'; did you mean 'nano'"),
        (["--compile", "on"], "leave --compile on out"),
        (["--parallel", "ddp"], "leave out --parallel and --nproc"),
        (["--claims", "nowhere"], "nowhere has no claims"),
    ],
)
def test_bad_input_is_one_sentence(
    more: list[str], says: str, flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*flags, *more]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('tokens = ["norm=rms"]', 'tokens = ["norm=rmss"]', "claim X1: "),
        ('tokens = ["norm=rms"]', 'tokens = ["norm=rms,dyt"]', "names 2 arms"),
        ('scores = ["extrapolation"]', 'scores = ["extrapolations"]', "unknown score 'extrapolations'"),
        ('check = "norm_costs"', 'check = "norm_cost"', "did you mean 'norm_costs'"),
    ],
)
def test_a_claim_that_cannot_be_planned(
    old: str, new: str, says: str, flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "declared" / "X1.toml").write_text(CLAIM.replace(old, new))
    assert main(flags) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 17
    assert shown[0].startswith("C1 ")
