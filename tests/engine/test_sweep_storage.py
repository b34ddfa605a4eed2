"""What becomes of a sweep's trials when a worker is gone, and of a sweep when its storage answers no more."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from harness.engine import sweep_storage
from harness.engine.sweep_storage import (
    UNSIGNED_SECONDS,
    Unsigned,
    give_back_lost,
    is_open,
    opened,
    registered,
    taking_turns,
)
from harness.records.atomic import StoreError
from variants.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:Heartbeat of storage:UserWarning")  # Study.ask is a worker's here


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A storage with a study of one trial, which runs."""
    found = f"sqlite:///{tmp_path / 'trials.db'}"
    with opened(found) as storage:
        optuna.create_study(study_name="s", storage=storage).ask()
    return found


def locked(url: str) -> sqlite3.Connection:
    """Another program that has the file to itself."""
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    return other


def test_a_trial_that_nobody_signed_is_queued_again(url: str) -> None:
    """Its worker was killed before it wrote its name: no lock tells of it, and it must not be waited for for ever."""
    clock = [100.0]
    unsigned = Unsigned(lambda: clock[0])
    with opened(url) as storage:
        study = optuna.load_study(study_name="s", storage=storage)
        study.ask().set_user_attr("worker", "abc")
        for clock[0] in (100.0, 100.0 + UNSIGNED_SECONDS - 1):
            unsigned.give_up(study)
            assert not is_open(study, 2)
        clock[0] += 1
        unsigned.give_up(study)
        assert [t.state for t in study.trials] == [TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING]
        assert is_open(study, 2)


def test_a_trial_is_given_back_once(url: str, tmp_path: Path) -> None:
    """A worker's lock tells that it is gone; another command may have given its trial back before."""
    with opened(url) as storage:
        study = optuna.load_study(study_name="s", storage=storage)
        with registered(tmp_path / "workers") as name:
            study.ask().set_user_attr("worker", name)
            assert give_back_lost(study, tmp_path / "workers") == 0
        assert give_back_lost(study, tmp_path / "workers") == 1
        assert give_back_lost(study, tmp_path / "workers") == 0
        assert [t.state for t in study.trials] == [TrialState.RUNNING, TrialState.FAIL, TrialState.WAITING]


def test_a_queued_trial_that_is_lost_at_once_keeps_its_values(url: str, tmp_path: Path) -> None:
    """Its worker may be gone before it has taken them as the trial's own."""
    with opened(url) as storage:
        study = optuna.load_study(study_name="s", storage=storage)
        study.enqueue_trial({"lr": 0.5, "seed": 3})
        with registered(tmp_path / "workers") as name:
            trial = study.ask()
            trial.set_user_attr("worker", name)
            trial.suggest_float("lr", 0.0, 1.0)
        give_back_lost(study, tmp_path / "workers")
        again = study.ask()
        assert (again.suggest_float("lr", 0.0, 1.0), again.suggest_int("seed", 0, 9)) == (0.5, 3)


def test_one_worker_at_a_time_looks_for_a_trial(tmp_path: Path) -> None:
    order = []

    def other() -> None:
        with taking_turns(tmp_path):
            order.append("other")

    thread = threading.Thread(target=other)
    with taking_turns(tmp_path) as taken:
        thread.start()
        thread.join(0.2)
        order.append("first")
        taken()
        thread.join()
        order.append("first works")
    assert order == ["first", "other", "first works"]


def test_a_storage_that_answers_no_more_is_one_sentence(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_storage, "SQLITE_SECONDS", 0.1)

    def worked_with() -> None:
        with opened(url) as storage:
            study = optuna.load_study(study_name="s", storage=storage)
            others.append(locked(url))
            study.ask()

    others: list[sqlite3.Connection] = []
    with pytest.raises(
        StoreError, match=r"^--storage .* cannot be read or written \(.*locked\); .* goes on from there$"
    ):
        worked_with()
    with pytest.raises(UserError, match=r"cannot be opened \(.*locked"):
        worked_with()
    others[0].close()


@pytest.mark.parametrize("content", [b'{"op_code": 0}\n{"op_code": 0}\n', b"\xff\xfe\n\xff\n", b"[]\n"])
def test_a_damaged_journal_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "journal").write_bytes(content)
    with pytest.raises(UserError, match=r"^--storage .* cannot be opened \(.*\); it takes .*$"):
        opened(f"journal:{tmp_path / 'journal'}").__enter__()


def test_half_a_line_of_a_journal_is_cut_off(tmp_path: Path) -> None:
    """A full disk leaves it."""
    path = tmp_path / "journal"
    for _ in range(2):
        with opened(f"journal:{path}") as storage:
            optuna.create_study(study_name="s", storage=storage, load_if_exists=True).enqueue_trial({})
        with path.open("ab") as file:
            file.write(b'{"op_code": 4, "wor')
    with opened(f"journal:{path}") as storage:
        assert len(optuna.load_study(study_name="s", storage=storage).trials) == 2


@pytest.mark.parametrize("url", ["journal:/nowhere/trials", "sqlite:////nowhere/trials", "sqlite:///{text}", "x"])
def test_what_cannot_be_opened_is_one_sentence(url: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no data base\n" * 1000)
    with pytest.raises(UserError, match=r"--storage .* cannot be opened \(.*\); it takes"):
        opened(url.format(text=tmp_path / "text")).__enter__()
