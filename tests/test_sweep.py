"""Sweeps through their command: trials, storages, kills, the winner's confirmation, bad input."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from harness.engine.sweep_storage import opened
from harness.records.store import RunStore
from harness.records.sweep import read_sweep
from harness.sweep import main
from tests.engine.studies import children, needs_proc

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


def test_several_objectives_give_a_front(flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["attention=mha,mqa", "--objective", "bits_per_byte,decode_tokens_per_second", "--trials", "3"]
    found = sweep([*argv, *flags, "--sampler", "random"], capsys)["sweep"]
    assert all(len(t["values"]) == 2 and min(t["values"]) > 0 for t in found["trials"])
    assert [o["direction"] for o in found["objectives"]] == ["minimize", "maximize"]
    keys = {t["key"] for t in found["trials"]}
    trained = {p.parent.name for p in tmp_path.glob("out/store/runs/*/*/record.json")}
    assert keys <= trained
    assert len(keys) == 2 < len(found["trials"]), "two trials chose the same, and it was trained once"


def test_failed_trials_are_recorded(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["norm=layer,rms", "--space", "lr=1e20:1e30:log", "--trials", "2", "--sampler", "random"]
    found = sweep([*argv, *flags], capsys)
    assert {t["state"] for t in found["sweep"]["trials"]} == {"failed"}
    assert all("diverged" in t["reason"] for t in found["sweep"]["trials"])
    assert found["sweep"]["note"].startswith("no trial finished")
    assert found["study"] is None


def test_halving_gives_up_a_poor_trial_at_a_rung(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The baseline comes first and trains to its end; learning rates that teach nothing end at a share of its FLOPs."""
    argv = ["norm=layer,rms", "--space", "lr=1e-7:1e-2:log", "--trials", "3", "--sampler", "random"]
    argv += ["--search-seed", "3", "--pruner", "halving", "--workers", "1"]
    found = sweep([*argv, *flags, "--steps", "600"], capsys)["sweep"]
    first, *others = found["trials"]
    assert first["state"] == "complete"
    assert [step for step, _ in first["rungs"]] == [37, 111, 333]
    pruned = [t for t in others if t["state"] == "pruned"]
    assert pruned
    assert all(0 < len(t["rungs"]) < 3 and not t["values"] for t in pruned)
    assert all(t["rungs"][-1][1] > dict(first["rungs"])[t["rungs"][-1][0]] for t in pruned), "it was the poorer there"


def test_it_opens_in_optuna_dashboard(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Asked as its page asks: the study is listed, and its trials come with parameters, values and rungs."""
    dashboard = pytest.importorskip("optuna_dashboard")
    argv = ["--space", "lr=1e-3:2e-2:log", "--trials", "2", "--seeds", "1", "--pruner", "median"]
    found = sweep([*argv, *flags, "--steps", "100"], capsys)
    with opened(f"sqlite:///{Path(found['folder']) / 'trials.db'}") as storage:
        app = dashboard.wsgi(storage)
        (study,) = ask(app, "/api/studies")["study_summaries"]
        assert study["study_name"] == found["sweep"]["name"]
        shown = ask(app, f"/api/studies/{study['study_id']}")["trials"]
    assert [t["state"] for t in shown] == ["Complete"] * 2
    assert [t["values"] for t in shown] == [t["values"] for t in found["sweep"]["trials"]]
    assert all(t["intermediate_values"] and t["params"][0]["name"] == "lr" for t in shown)


def ask(app: Callable[..., Iterable[bytes]], path: str) -> Any:
    """The JSON that a WSGI application answers to GET."""
    environment: dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": "after=0"}
    setup_testing_defaults(environment)
    answered: list[str] = []
    body = b"".join(app(environment, lambda status, headers, *_: answered.append(status)))
    assert answered == ["200 OK"], body
    return json.loads(body)


@needs_proc
@pytest.mark.parametrize(
    ("storage", "number"),
    [("sqlite", signal.SIGKILL), ("journal", signal.SIGTERM), ("postgresql", signal.SIGKILL)],
)
def test_killed_workers_lose_nothing(
    storage: str, number: signal.Signals, flags: list[str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Two of four workers are killed in the middle of a trial: every trial is settled, and none is lost."""
    files = {"sqlite": f"sqlite:///{tmp_path / 'trials'}", "journal": f"journal:{tmp_path / 'trials'}"}
    url = files.get(storage) or request.getfixturevalue("postgresql")
    argv = [*SPACE, *flags, "--steps", "1000", "--trials", "5", "--workers", "4", "--seeds", "1", "--storage", url]
    killed: list[int] = []

    def kill_two() -> None:
        killed.extend(until(lambda: at_work(os.getpid(), tmp_path, at_least=2))[:2])
        os.kill(killed[0], signal.SIGKILL)
        os.kill(killed[1], number)

    killer = threading.Thread(target=kill_two)
    killer.start()
    assert main(argv) == 0
    killer.join()
    assert len(killed) == 2
    record, trials = found_in(tmp_path, url)
    assert len(record.trials) >= 5
    assert {t.state for t in record.trials} == {"complete"}
    lost = [t for t in trials if t.state == TrialState.FAIL]
    assert len(lost) >= 2
    assert queued_again(trials) == {t.number: t.params for t in lost}
    store = RunStore(tmp_path / "out" / "store")
    assert all(store.get(t.key) is not None for t in record.trials)


@needs_proc
def test_a_killed_sweep_goes_on(flags: list[str], tmp_path: Path) -> None:
    """Its workers see it go, and leave their trials to whoever comes next; the runs go on from their checkpoints."""
    url = f"sqlite:///{tmp_path / 'trials'}"
    argv = [*SPACE, *flags, "--steps", "1000", "--trials", "2", "--workers", "2", "--seeds", "1", "--storage", url]
    process = start(argv)
    workers = until(lambda: at_work(process.pid, tmp_path, at_least=2))
    process.kill()
    process.communicate()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    _, before = found_in(tmp_path, url, record=False)
    started = {t.user_attrs["key"] for t in before if "key" in t.user_attrs}
    assert main(argv) == 0
    record, _ = found_in(tmp_path, url)
    assert {t.key for t in record.trials} == started
    assert {t.state for t in record.trials} == {"complete"}


def start(argv: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "harness.sweep", *argv]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def until(look: Callable[[], Any]) -> Any:
    """What `look` finds, as soon as it finds something."""
    ended = time.monotonic() + 600
    while not (found := look()):
        assert time.monotonic() < ended, "waited in vain"
        time.sleep(0.1)
    return found


def at_work(parent: int, tmp_path: Path, at_least: int) -> list[int]:
    """The workers that hold a run, when they are enough: by the files that they have open."""
    runs = tmp_path / "out" / "store" / "runs"
    busy = [pid for pid in workers_of(parent) if any(runs in path.parents for path in open_files(pid))]
    return busy if len(busy) >= at_least else []


def open_files(pid: int) -> list[Path]:
    try:
        return [path.readlink() for path in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:  # it, or a file of its, is gone meanwhile
        return []


def found_in(tmp_path: Path, url: str, *, record: bool = True) -> tuple[Any, list[FrozenTrial]]:
    """The sweep's record, where it came that far, and optuna's trials."""
    (folder,) = tmp_path.glob("out/sweep_*")
    with opened(url) as storage:
        trials = optuna.load_study(study_name=folder.name, storage=storage).trials
    return read_sweep(folder) if record else None, trials


def queued_again(trials: list[FrozenTrial]) -> dict[int, dict[str, Any]]:
    """What is tried again, by the number of the trial that was lost."""
    again = [t for t in trials if "again" in t.user_attrs]
    return {t.user_attrs["again"]: t.system_attrs["fixed_params"] for t in again}


def workers_of(parent: int) -> list[int]:
    """Children that run sweep_worker."""
    found = []
    for pid in children(parent):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if b"sweep_worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


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
        (["norm=layer,rms", "--parallel", "ddp", "--nproc", "2"], "leave out --parallel and --nproc"),
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
