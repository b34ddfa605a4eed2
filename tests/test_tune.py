"""`--tune lr` through the command: equal trials, seeds that are never scored, a kill in the middle, both verdicts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest

from harness.ablate import main
from harness.records.store import RunStore
from harness.records.tuning import read_tuning
from harness.report import main as rebuild


def test_a_killed_search_goes_on_and_trains_nothing_twice(
    tiny_flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    argv = ["norm=rms", *tiny_flags, "--steps", "160", "--lr", "0.02", "--tune", "lr", "--tune-seeds", "1", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "harness.ablate", *argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    ended = time.monotonic() + 240
    while len(before := {r.key: r.created for r in RunStore(out / "store")}) < 7 and time.monotonic() < ended:
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert main(argv) == 0
    result = json.loads(capsys.readouterr().out)
    told = result["tuning"]
    trials = [t for t in told["trials"] if t["arm"] in ("gpt2", "norm=rms")]
    counts = Counter(t["arm"] for t in trials)
    assert counts["gpt2"] == counts["norm=rms"] >= 9
    assert len({(t["arm"], t["lr"]) for t in trials}) == len(trials), "each rate once"
    assert len(told["transfer"]["points"]) == 3
    assert {t["seed"] for t in told["trials"]} == {10_000}
    assert {run["seed"] for run in (*result["runs"], *told["runs"])} == {0, 1}

    after = {record.key: record.created for record in RunStore(out / "store")}
    assert before.items() <= after.items(), "what was trained before the kill is not trained again"
    assert {t["key"] for t in told["trials"]} <= set(after)
    (row,) = told["rows"]
    assert row["shared"]["num_seeds"] == row["tuned"]["num_seeds"] == 2

    folder = Path(result["study"]["folder"])
    record = read_tuning(folder, range(2))
    assert record is not None
    storage = f"sqlite:///{folder / 'tuning' / record.sweep / 'trials.db'}"
    study = optuna.load_study(study_name=record.sweep, storage=storage)
    assert len([t for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]) == len(told["trials"])
    study._storage.remove_session()
    rates = {s["arm"]: s["chosen"] for s in told["learning_rates"]}
    tuned = json.loads((folder / "tuned" / "study.json").read_text())
    assert tuned["recipe"]["lr"] == rates["gpt2"]
    assert tuned["arms"][1]["recipe"].get("lr", rates["gpt2"]) == rates["norm=rms"]
    assert "which are never scored" in json.loads((folder / "study.json").read_text())["registration"]["tuning"]

    report = (folder / "report.md").read_bytes()
    assert rebuild([str(folder)]) == 0
    assert (folder / "report.md").read_bytes() == report
    assert b"## Fair tuning" in report
    assert (folder / "sensitivity.svg").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--tune", "wd"], "invalid choice"),
        (["--tune-seeds", "3"], "add --tune lr"),
        (["--tune", "lr", "--tune-share", "4"], "takes a share of the budget"),
        (["--tune", "lr", "--tune-share", "1/0"], "takes a share of the budget"),
        (["--tune", "lr", "--parallel", "ddp", "--nproc", "2"], "one process each"),
        (["--tune", "lr", "--seeds", "10001"], "seeds 10000 would be tuned on and scored too"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], sentence: str, tiny_flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["norm=rms", *tiny_flags, *words]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
