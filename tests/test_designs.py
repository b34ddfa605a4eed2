"""Designs and screening through the command: arms, registration, reuse between designs, reports, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.ablate import main
from harness.records.study import read_study
from harness.report import main as report

PAIR = ("norm=rms", "position=rope")


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[dict[str, Any], str]:
    assert main([*words, "--json"]) == 0
    printed = capsys.readouterr()
    return json.loads(printed.out), printed.err


def test_a_factorial_end_to_end_and_what_it_shares(tiny_flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    first, said = run(capsys, *PAIR, "--design", "factorial", *tiny_flags)
    assert [arm["name"] for arm in first["arms"]] == ["gpt2", "position=rope", "norm=rms", "norm=rms position=rope"]
    assert "design factorial, 4 arms with the baseline; norm: layer -> rms; position: learned -> rope" in said
    folder = Path(first["study"]["folder"])
    study, runs = read_study(folder)
    assert study.design["kinds"] == ["factorial"]
    assert "each main effect and two-way interaction of norm, position" in study.registration["hypotheses"][-1]
    text = (folder / "report.md").read_text()
    for title in ("## Effects", "### Contributions", "Shapley", "## The same by other tests", "interactions.svg"):
        assert title in text
    assert "cannot reach 0.05" in text, "2 seeds"
    values = {(r.arm, r.seed): r.record.scores["nats_per_byte"] or 0.0 for r in runs}
    add_one = sum(values["norm=rms", s] - values["gpt2", s] for s in (0, 1)) / 2
    assert f"| norm | layer -&gt; rms | {add_one:+.4f} [" in text

    second, _ = run(capsys, *PAIR, "--design", "path", *tiny_flags)
    assert all(r["reused"] for r in second["runs"]), "cells are trained once"
    assert [c["baseline"] for c in second["comparisons"]] == ["gpt2", "norm=rms"]
    assert second["study"]["name"] != first["study"]["name"]
    path = (Path(second["study"]["folder"]) / "report.md").read_text()
    assert "### Steps of the path" in path
    assert "## Effects" not in path
    assert "norm=rms position=rope differs from norm=rms in validation loss" in path

    before = (folder / "report.html").read_bytes()
    assert report([str(folder)]) == 0
    assert (folder / "report.html").read_bytes() == before, "rebuilt from its records"


def test_a_screen_trains_no_more_of_what_it_drops(tiny_flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    flags = [*tiny_flags, "--seeds", "4", "--screen", "2"]
    result, said = run(capsys, "norm=rms,none", "--design", "add-one", *flags)
    assert "screen: 2 seeds for all arms" in said
    study, runs = read_study(result["study"]["folder"])
    assert study.registration["screen"] == [0, 1]
    verdicts = {c["arm"]: c for c in result["comparisons"]}
    seeds = {arm.name: {r.seed for r in runs if r.arm == arm.name} for arm in study.arms}
    for arm, c in verdicts.items():
        if c["reason"].startswith("screened out"):
            assert seeds[arm] == {0, 1}
            assert c["ci95"] is None
        else:
            assert seeds[arm] == {0, 1, 2, 3}
            assert [pair[0] for pair in c["pairs"]] == [2, 3], "fresh seeds alone"
    text = (Path(result["study"]["folder"]) / "report.md").read_text()
    assert "## Screening" in text
    assert "seeds 2 and 3 alone" in text
    assert "planned runs" not in text, "what was dropped is not missing"


def test_plans_of_fractions_and_presets_are_shown(tiny_flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    flags = [*tiny_flags, "--steps", "600", "--dry-run"]
    _, said = run(capsys, *PAIR, "activation=swiglu", "--design", "factorial", "--fraction", "1/2", *flags)
    assert "4 of 8 combinations are run, with activation = -(norm x position): resolution III." in said
    assert "norm is mixed with -(position x activation)." in said
    result, said = run(capsys, "--path", "gpt2,llama", *flags)
    assert [arm["name"] for arm in result["arms"]][-1] == "llama"
    assert len(result["arms"]) == 6


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([*PAIR, "--design", "factorials"], "did you mean 'factorial'"),
        ([*PAIR, "--design", "factorial", "--fraction", "2"], "takes 1/2"),
        ([*PAIR, "--design", "factorial", "--fraction", "1/2"], "run them all"),
        ([*PAIR, "--design", "path", "--looks", "2,4"], "needs them all"),
        ([*PAIR, "--design", "factorial", "--screen", "2", "--seeds", "4"], "needs them all"),
        ([*PAIR, "--design", "path", "--match", "all"], "use --design joint or add-one"),
        ([*PAIR, "--design", "path", "--family", "dunnett"], "use max-t"),
        (["norm=rms", "--family", "max-t", "--seeds", "5"], "run 6 seeds"),
        (["norm=rms", "--looks", "2,4", "--family", "max-t"], "a rule of its own"),
        (["norm=rms", "--explore", "--family", "max-t"], "not allowed with"),
        (["norm=rms", "--explore", "--screen", "2", "--seeds", "4"], "leave one of them out"),
        (["norm=rms", "--screen", "3", "--seeds", "4"], "as many fresh ones"),
        (["norm=rms", "--path", "gpt2,llama"], "takes no tokens"),
        (["--path", "gpt2,lama"], "did you mean 'llama'"),
        (["--path", "gpt2,llama", "--baseline", "llama"], "leave --baseline out"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(
    words: list[str], sentence: str, tiny_flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    i = tiny_flags.index("--seeds")
    flags = [*tiny_flags[:i], *tiny_flags[i + 2 :]]
    assert main([*flags, *words]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert sentence in printed.err
    assert not (tmp_path / "out").exists()
