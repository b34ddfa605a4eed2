"""`--precision`, `--stack`, `--recompute-activations`: what goes with what, what is said, which study is another."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from harness.ablate import main, parser
from harness.cli import run
from harness.cli.manner import check_manner, manner_for
from harness.cli.prepare import choose_step_for, plan_for
from harness.engine.study import Task
from harness.records.record import StudyRecord
from harness.train import precision
from harness.train.manner import PLAIN, Manner
from variants.errors import UserError

SIZE = ["--size", "1x16", "--heads", "2", "--seq-len", "16", "--tokens-per-step", "64", "--device", "cpu"]
TINY = [*SIZE, "--steps", "60"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--stack", "0"], "takes a whole number of at least 1, auto or off, got '0'"),
        (["--stack", "2", "--engine", "ray"], "--stack 2 does not go with --engine ray"),
        (["--stack", "2", "--parallel", "ddp", "--nproc", "2"], "--stack 2 does not go with --parallel"),
        (["--stack", "2", "--compile", "on"], "--stack 2 --compile on needs a GPU, got --device cpu"),
        (["--precision", "bf16", "--compile", "on"], "--precision bf16 does not go with --compile on"),
        (["--precision", "bf16", "--match", "time"], "--precision bf16 does not go with --match time"),
        (["--precision", "bf16", "--tune", "lr"], "--precision bf16 does not go with --tune"),
        (["--stack", "2", "--budgets", "1e9,2e9"], "--stack 2 does not go with --budgets or --ladder"),
        (["--recompute-activations", "--compile", "on"], "--recompute-activations does not go with --compile on"),
        (["--recompute-activations", "--stack", "2"], "--recompute-activations does not go with --stack 2"),
        (["--recompute-activations", "--match", "all"], "--recompute-activations does not go with --match all"),
        (["--runs-per-gpu", "some"], "takes a whole number of at least 1 or auto, got 'some'"),
    ],
)
def test_flags_that_do_not_go_together(flags: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_manner(parser().parse_args(["norm=rms", *TINY, *flags]))


def decided(*flags: str) -> tuple[Manner, str]:
    args = parser().parse_args([*flags, *TINY])
    check_manner(args)
    plan = plan_for(args, 257)
    assert choose_step_for(args, plan).step == "eager"
    manner, told = manner_for(args, plan)
    return manner, "\n".join(told)


def test_what_is_decided_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert decided("norm=rms") == (PLAIN, "")
    assert decided("norm=rms", "--stack", "2") == (Manner(rows=2), "stacks of 2: --stack 2")
    assert decided("norm=rms", "--stack", "auto")[0] == PLAIN
    refused, told = decided("ffn=moe", "--stack", "2")
    assert refused == PLAIN
    assert told.startswith("one by one: an arm cannot be stacked, and all arms are trained alike: ffn=moe: ")
    monkeypatch.setattr(precision, "has_bf16", lambda device: False)
    manner, told = decided("norm=rms", "--precision", "bf16")
    assert manner == Manner("bf16")
    assert told == "bf16: cpu has no arithmetic in bf16 here and imitates it: slower than fp32 by up to ten times"


def test_another_manner_is_another_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, rng = tmp_path / "text.txt", random.Random(0)
    text.write_text(" ".join(rng.choices(["the", "cat", "sat", "on", "a", "mat"], k=5_000)))
    names = []
    for flags in ([], ["--stack", "2"], ["--precision", "bf16"]):
        command = ["norm=rms", *TINY, *flags, "--data", str(text), "--out", str(tmp_path / "out")]
        assert main([*command, "--score", "none", "--dry-run", "--json"]) == 0
        names.append(json.loads(capsys.readouterr().out)["study"]["name"])
    assert len(set(names)) == 3


def test_every_run_recomputes_its_activations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks: list[Task] = []

    def look(study: StudyRecord, found: list[Task], *more: object) -> None:
        tasks.extend(found)
        raise UserError("seen enough")

    monkeypatch.setattr(run, "run_looks", look)
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on a mat " * 1000)
    command = ["norm=rms", *TINY, "--data", str(text), "--out", str(tmp_path / "out"), "--score", "none"]
    for flags in ([], ["--recompute-activations"]):
        assert main([*command, *flags]) == 2
    plain, again = tasks[:16], tasks[16:]
    assert [task.job.recompute_activations for task in (*plain, *again)] == [False] * 16 + [True] * 16
    assert [task.job.key for task in plain] == [task.job.key for task in again]
