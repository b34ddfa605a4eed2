"""Sweeps through their command: trials, storages, kills, the winner's confirmation, bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest

from harness.engine.sweep_storage import opened
from harness.records.store import RunStore
from harness.records.sweep import read_sweep
from harness.sweep import main

SPACE = ["norm=layer,rms", "activation=gelu,swiglu", "--space", "lr=1e-3:2e-2:log"]


@pytest.fixture
def flags(small_text: Path, tmp_path: Path) -> list[str]:
    tiny = "--size 1x16 --heads 2 --seq-len 16 --tokens-per-step 64 --steps 60 --seeds 2 --device cpu"
    return [*tiny.split(), "--data", str(small_text), "--out", str(tmp_path / "out")]


def sweep(argv: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main([*argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_winner_is_judged_on_fresh_seeds_and_the_sweep_goes_on(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    first = sweep([*SPACE, *flags, "--trials", "3"], capsys)
    trials = first["sweep"]["trials"]
    assert [t["state"] for t in trials] == ["complete"] * 3
    assert trials[0]["params"] == {"norm": "layer", "activation": "gelu", "lr": 0.006}, "the baseline comes first"
    best = min(trials, key=lambda t: t["values"][0])
    assert first["sweep"]["winner"] == best["number"]
    if best["arm"] != "gpt2":
        assert first["study"]["study"]["seeds"] == [1000, 1001]
    folder = Path(first["folder"])
    assert {"sweep.json", "report.html", "report.md", "history-0.svg", "trials.db"} <= {
        p.name for p in folder.iterdir()
    }
    assert read_sweep(folder).trials[0].key == trials[0]["key"]

    second = sweep([*SPACE, *flags, "--trials", "4"], capsys)
    assert second["sweep"]["trials"][:3] == trials, "what was done is not done again"
    assert len(second["sweep"]["trials"]) == 4


def test_several_objectives_give_a_front(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["attention=mha,mqa", "--objective", "bits_per_byte,decode_tokens_per_second", "--trials", "3"]
    found = sweep([*argv, *flags, "--sampler", "random"], capsys)["sweep"]
    assert all(len(t["values"]) == 2 and min(t["values"]) > 0 for t in found["trials"])
    assert [o["direction"] for o in found["objectives"]] == ["minimize", "maximize"]


def test_failed_and_pruned_trials_are_recorded(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["norm=layer,rms", "--space", "lr=1e20:1e30:log", "--trials", "2", "--sampler", "random"]
    found = sweep([*argv, *flags], capsys)
    assert {t["state"] for t in found["sweep"]["trials"]} == {"failed"}
    assert all("diverged" in t["reason"] for t in found["sweep"]["trials"])
    assert found["sweep"]["note"].startswith("no trial finished")
    assert found["study"] is None


@pytest.mark.parametrize("storage", ["sqlite", "journal", "postgresql"])
def test_killed_workers_lose_nothing(
    storage: str, flags: list[str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Two of three workers are killed in the middle of a trial: every trial is settled, and none is lost."""
    files = {"sqlite": f"sqlite:///{tmp_path / 'trials'}", "journal": f"journal:{tmp_path / 'trials'}"}
    url = files.get(storage) or request.getfixturevalue("postgresql")
    argv = [*SPACE, *flags, "--steps", "1000", "--trials", "4", "--workers", "3", "--seeds", "1", "--storage", url]
    kill_two_workers(argv, tmp_path)
    (folder,) = tmp_path.glob("out/sweep_*")
    record = read_sweep(folder)
    assert sorted(t.state for t in record.trials) == ["complete"] * 4
    with opened(url) as database:
        trials = optuna.load_study(study_name=record.name, storage=database).trials
    lost = [t for t in trials if t.state == optuna.trial.TrialState.FAIL]
    again = {t.user_attrs["again"]: t.params for t in trials if "again" in t.user_attrs}
    assert len(lost) >= 1
    assert again == {t.number: t.params for t in lost}
    store = RunStore(tmp_path / "out" / "store")
    assert all(store.get(t.key) is not None for t in record.trials)


def kill_two_workers(argv: list[str], tmp_path: Path) -> None:
    """Run the command, and SIGKILL two of its workers as soon as they have trials."""
    process = subprocess.Popen(
        [sys.executable, "-m", "harness.sweep", *argv],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    killed: set[int] = set()
    ended = time.monotonic() + 120
    while process.poll() is None and len(killed) < 2 and time.monotonic() < ended:
        time.sleep(0.2)
        checkpoints = list(tmp_path.glob("out/store/runs/*/*/run.lock"))
        if len(checkpoints) >= 2:
            for pid in set(workers_of(process.pid)) - killed:
                if len(killed) < 2:
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    assert len(killed) == 2


def workers_of(parent: int) -> list[int]:
    """Children that run sweep_worker, by the system's own list."""
    children = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            if (
                f"\nPPid:\t{parent}\n" in status.read_text()
                and b"sweep_worker" in (status.parent / "cmdline").read_bytes()
            ):
                children.append(int(status.parent.name))
        except OSError:  # it ended meanwhile
            continue
    return children


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["norm=rms"], "something to choose"),
        (["norm=layer,rsm"], "did you mean 'rms'"),
        (["norm=layer,rms", "--objective", "bits_per_bite"], "did you mean 'bits_per_byte'"),
        (["norm=layer,rms", "--objective", "bits_per_byte,num_params", "--pruner", "median"], "needs one objective"),
        (["norm=layer,rms", "--sampler", "tpee"], "did you mean 'tpe'"),
        (["norm=layer,rms", "--pruner", "halv"], "--pruner takes"),
        (["norm=layer,rms", "--storage", "mongo://x"], "needs a driver"),
        (["norm=layer,rms", "--storage", "trials.db"], "cannot be opened"),
        (["norm=layer,rms", "--storage", "postgresql+psycopg://nobody@127.0.0.1:1/x"], "--storage 127.0.0.1:1/x"),
        (["--space", "lr=1:0"], "low below high"),
    ],
)
def test_bad_input_is_one_sentence(
    argv: list[str], message: str, flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*argv, *flags, "--trials", "1"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
