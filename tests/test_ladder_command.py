"""A ladder through its command: registered first, shared through the store, killed and resumed, rebuilt without "
"torch."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.ablate import main
from harness.records.ladder import RUNGS, read_ladder
from harness.records.seal import unseal
from tests.clone import ROOT
from tests.engine.studies import children, kill, needs_proc

BUDGETS = "1.2e8,2.4e8"
TINY = ["--size", "1x16", "--heads", "2", "--seq-len", "16", "--tokens-per-step", "64", "--device", "cpu"]


@pytest.fixture
def flags(small_text: Path, tmp_path: Path) -> list[str]:
    place = ["--data", str(small_text), "--out", str(tmp_path / "out"), "--workers", "2", "--score", "none"]
    return [*TINY, *place, "--seeds", "2", "--json"]


def ran(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[dict, str]:  # pyright: ignore[reportMissingTypeArgument]
    assert main(words) == 0
    printed = capsys.readouterr()
    return json.loads(printed.out), printed.err


def test_both_ladders_end_to_end(flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["norm=rms", *flags, "--budgets", BUDGETS]
    plan, said = ran([*asked, "--dry-run"], capsys)
    assert [rung["label"] for rung in plan["rungs"]] == ["1.2e+08", "2.4e+08"]
    assert "2 rungs (budgets as given), 8 runs, 0 of them in the store; 1.4" in said
    assert plan["total_flops"] == pytest.approx(sum(4 * r["study"]["budget"] for r in plan["rungs"]))
    assert not (tmp_path / "out" / plan["ladder"]["name"]).exists()

    main([*TINY, "norm=rms", *flags[len(TINY) :], "--budget", "2.4e8"])
    capsys.readouterr()
    alone, said = ran(asked, capsys)
    assert "8 runs, 4 reused" in said, "a rung is the study that was run before, and shares its runs"
    assert alone["ladder"]["name"] == plan["ladder"]["name"]
    (climb,) = alone["climbs"]
    assert len(climb["multipliers"]["FLOPs"]) == 2
    assert climb["sentences"][0].startswith("norm=rms")
    assert alone["savings"] == alone["agreements"] == []

    trunk, said = ran([*asked, "--schedule", "wsd"], capsys)
    assert trunk["ladder"]["trunk"]
    assert "one trunk an arm and seed, FLOPs a seed: gpt2 " in said
    assert trunk["total_flops"] < 0.75 * alone["total_flops"]
    runs = [run for rung in trunk["rungs"] for run in rung["runs"]]
    assert {run["status"] for run in runs} == {"finished"}
    assert not any(run["reused"] for run in runs)
    assert [(a["label"], a["arm"], a["num_seeds"]) for a in trunk["agreements"][:3]] == [
        ("1.2e+08", "gpt2", 2),
        ("1.2e+08", "norm=rms", 2),
        ("2.4e+08", "gpt2", 2),
    ]
    folder = Path(trunk["ladder"]["folder"])
    _, rungs = read_ladder(folder)
    branches = {(r.arm, r.seed): r.record.identity["branch"] for rung in rungs for r in rung.runs}
    trunks = {
        tuple(sorted(b["trunk"] for (arm, _), b in branches.items() if arm == name)) for name in ("gpt2", "norm=rms")
    }
    assert len(trunks) == 2
    assert all(r.record.identity["branch"]["trunk"] == branches[r.arm, r.seed]["trunk"] for x in rungs for r in x.runs)

    before = (folder / "report.md").read_text()
    (folder / "report.md").unlink()
    code = (
        "import sys; from harness.report import main; assert main(sys.argv[1:]) == 0; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, check=True, capture_output=True)
    assert (folder / "report.md").read_text() == before
    assert "Trunk and branches" in before
    assert (folder / RUNGS / rungs[0].study.name / "report.html").exists()


def test_sizes_get_a_budget_by_a_rule_that_is_printed(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    i = flags.index("--size")
    sized = ["norm=rms", *flags[:i], *flags[i + 2 :], "--dry-run", "--ladder", "1x8,1x16,2x16"]
    plan, said = ran(sized, capsys)
    assert "3 rungs (20 tokens for each active parameter of the baseline, embeddings included)" in said
    for rung in plan["rungs"]:
        base = rung["arms"][0]
        assert base["num_tokens"] == pytest.approx(20 * base["num_params"]["active"], abs=32)
    plan, _ = ran([*sized, "--tokens-per-parameter", "5"], capsys)
    base = plan["rungs"][-1]["arms"][0]
    assert base["num_tokens"] == pytest.approx(5 * base["num_params"]["active"], abs=32)
    plan, said = ran([*sized, "--budgets", "1e8,2e8,1e9"], capsys)
    assert [rung["study"]["budget"] for rung in plan["rungs"]] == pytest.approx([1e8, 2e8, 1e9], rel=0.02)


@needs_proc
def test_a_killed_ladder_of_branches_ends_with_the_same_bits(small_text: Path, tmp_path: Path) -> None:
    def command(out: Path) -> list[str]:
        more = ["--data", str(small_text), "--out", str(out), "--workers", "2", "--checkpoint-seconds", "0.1", "--json"]
        asked = ["norm=rms", "--budgets", "1e9,2e9", "--schedule", "wsd", "--seeds", "1", "--score", "none"]
        return [sys.executable, "-m", "harness.ablate", *asked, *TINY, *more]

    def bits(out: Path) -> list[tuple[str, ...]]:
        done = subprocess.run(command(out), cwd=ROOT, capture_output=True, text=True, check=True)
        rungs = json.loads(done.stdout)["rungs"]
        return [(r["key"], r["status"], r["weights_sha256"], r["curve_sha256"]) for rung in rungs for r in rung["runs"]]

    killed = tmp_path / "killed"
    process = subprocess.Popen(command(killed), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 600
    while not list(killed.glob("store/runs/*/*/branches/step-*")):  # the first branch point of a trunk
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    ladder = next(killed.glob("ladder-*/ladder.json"))
    told = unseal(ladder.read_bytes(), "ladder.json")
    assert len(told["registration"]["rungs"]) == 2, "registered before the first run ended"
    assert len(list(killed.glob("ladder-*/rungs/*/study.json"))) == 2
    kill(process, *children(process.pid))
    assert bits(killed) == bits(tmp_path / "whole")
    assert unseal(ladder.read_bytes(), "ladder.json")["registration"] == told["registration"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--budgets", "1e9"], "growing budgets, at least two"),
        (["--budgets", "2e9,1e9"], "growing budgets"),
        (["--budgets", "1e9,much"], "growing budgets"),
        (["--budgets", "1e9,inf"], "growing budgets"),
        (["--budgets", "1e9,1.0001e9"], "more compute than the one before"),
        (["--budgets", "1e9,2e9", "--budget", "1e9"], "leave out --budget"),
        (["--budgets", "1e9,2e9", "--steps", "10"], "leave out --budget and --steps"),
        (["--budgets", "1e9,2e9", "--looks", "2,4"], "leave out --looks"),
        (["--budgets", "10,1e9"], "less than one step"),
        (["--budgets", "3e6,1e9", "--schedule", "wsd"], "raise the smallest budget"),
        (["--ladder", "nano"], "at least two"),
        (["--ladder", "nano,nano"], "different sizes"),
        (["--ladder", "nano,huge"], "LAYERSxD_MODEL"),
        (["--ladder", "1x16,1x8"], "more compute than the one before"),
        (["--ladder", "1x8,1x16", "--size", "1x16"], "leave out --size"),
        (["--ladder", "1x8,1x16", "--budgets", "1e8,2e8,3e8"], "3 for 2 sizes"),
        (["--ladder", "1x8,1x16", "--budgets", "1e8,2e8", "--tokens-per-parameter", "3"], "leave one of them out"),
        (["--tokens-per-parameter", "3"], "which is not given"),
        (["--budgets", "1e9,2e9", "--match", "flop"], "invalid choice"),
        (["--budgets", "1e9,2e9", "--tune", "lr"], "tune a rung as a study of its own"),
        (["--budgets", "1e9,2e9", "--match", "all"], "use --match flops"),
        (["--budgets", "1e9,2e9", "--schedule", "wds"], "invalid choice"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], sentence: str, small_text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = [
        "--heads",
        "2",
        "--seq-len",
        "16",
        "--tokens-per-step",
        "64",
        "--device",
        "cpu",
        "--out",
        str(tmp_path / "o"),
    ]
    size = [] if "--ladder" in words else ["--size", "1x16"]
    assert main(["norm=rms", "--data", str(small_text), *short, *size, *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert sentence in printed.err
    assert not (tmp_path / "o").exists()
