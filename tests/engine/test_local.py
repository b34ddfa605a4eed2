"""The lanes of the local engine, with workers that misbehave: scripts that speak the protocol and load no torch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.engine import local
from harness.engine.event import Event
from harness.engine.job import Job
from harness.engine.local import LocalEngine
from harness.engine.patience import Patience
from harness.records.store import RunStore, StoreError
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec

PATIENCE = Patience(first=1.5, least=1.5, multiple=3.0)

PRELUDE = """
import json, os, signal, sys, time
from pathlib import Path
def say(**event): print(json.dumps(event), flush=True)
def end(): say(event="end", status="finished")
def steps(n): say(event="progress", step=n, loss=1.0)
folder = Path(sys.argv[1])
def nth():
    "How many jobs were begun before this one, by all workers."
    with (folder / "begun").open("a") as file: file.write("x")
    return len((folder / "begun").read_text()) - 1
for line in sys.stdin:
    seed = json.loads(line)["seed"]
"""


class Study:
    """Jobs on workers that run `body` for each, and what the engine said of them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        self.events: list[Event] = []
        self.jobs = [
            Job(Spec(), Recipe(tokens_per_step=64), 100, 1.0, seed, "0" * 64, str(folder / "store"), "cpu")
            for seed in range(3)
        ]

    def run(self, body: str, *, workers: int = 1, on_event: Callable[[Event], None] | None = None) -> list[str]:
        """The status of each job, by its number."""
        self.events.clear()
        script = self.folder / "worker.py"
        script.write_text(PRELUDE + "".join(f"    {line}\n" for line in body.splitlines()))
        self.monkeypatch.setattr(local, "WORKER", (sys.executable, str(script), str(self.folder)))
        engine = LocalEngine(workers, self.folder / "workers.log", PATIENCE)
        engine.run(self.jobs, on_event or self.events.append)
        ends = sorted((event.job, event.status) for event in self.events if event.kind == "end")
        assert [job for job, _ in ends] == [0, 1, 2], "a job was lost or ended twice"
        return [status for _, status in ends]

    def notes(self) -> list[str]:
        return [event.reason for event in self.events if event.kind == "note"]

    def reason(self, job: int) -> str:
        """Of the failed record that was kept."""
        record = RunStore(self.folder / "store").get(self.jobs[job].key)
        assert record is not None
        assert record.status == "failed"
        return record.reason


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setattr(local, "STOP_SECONDS", 1.0)
    return Study(tmp_path, monkeypatch)


def test_every_job_is_done_once(study: Study) -> None:
    assert study.run("nth(); steps(50); steps(100); end()", workers=2) == ["finished"] * 3
    assert (study.folder / "begun").read_text() == "xxx"
    assert not study.notes()


def test_a_worker_that_hangs_is_killed_and_replaced(study: Study) -> None:
    body = "steps(50)\nif nth() == 1: time.sleep(3600)\nend()"
    assert study.run(body) == ["finished"] * 3
    assert (study.folder / "begun").read_text() == "xxxx"
    (note,) = study.notes()
    assert note == "the worker process made no progress for 2 s and was killed after step 50"


def test_a_job_that_hangs_three_times_is_a_failed_record(study: Study) -> None:
    body = "nth(); steps(50)\nif seed == 1: signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)\nend()"
    assert study.run(body, workers=2) == ["finished", "failed", "finished"]
    assert study.reason(1).startswith("the worker process died 3 times, the last one made no progress for 2 s")
    assert (study.folder / "begun").read_text() == "x" * 5


def test_slow_is_not_hung(study: Study) -> None:
    """Each job takes longer than the patience, but is never silent for so long."""
    body = "for i in range(6): steps(i); time.sleep(0.4)\nend()"
    assert study.run(body, workers=3) == ["finished"] * 3
    assert not study.notes()
    study.run("for i in range(3): say(event='waiting'); time.sleep(0.8)\nend()", workers=3)
    assert not study.notes()
    study.run("for i in range(3): say(event='scoring', reason='x'); time.sleep(0.8)\nend()", workers=3)
    assert not study.notes()


@pytest.mark.parametrize(
    ("death", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "was killed (signal 9), perhaps out of memory"),
        ("os.abort()", "was killed (signal 6)"),
        ("os._exit(7)", "left with exit code 7"),
        ('sys.stdout.write(\'{"event": "en\'); sys.stdout.flush(); os._exit(7)', "left with exit code 7"),
    ],
)
def test_a_job_whose_worker_always_dies_is_a_failed_record(study: Study, death: str, words: str) -> None:
    assert study.run(f"nth()\nif seed == 0: {death}\nend()") == ["failed", "finished", "finished"]
    assert words in study.reason(0)
    assert "died 3 times" in study.reason(0)
    assert (study.folder / "begun").read_text() == "x" * 5


def test_deaths_further_and_further_on_are_not_held_against_a_job(study: Study) -> None:
    body = "n = nth(); steps(50 * n)\nif n < 7: os._exit(1)\nend()"
    assert study.run(body) == ["finished"] * 3
    assert len(study.notes()) == 7


def test_sigterm_to_a_worker_is_not_held_against_the_job(study: Study) -> None:
    body = "n = nth(); steps(50)\nif n < 4: os._exit(143)\nif n < 7: os.kill(os.getpid(), signal.SIGTERM)\nend()"
    assert study.run(body) == ["finished"] * 3
    assert study.notes() == ["the worker process was told to leave (SIGTERM) after step 50"] * 7


def test_a_child_that_outlives_its_worker_holds_nothing_up(study: Study) -> None:
    body = "n = nth()\nif n == 0 and os.fork() == 0: time.sleep(3600)\nif n == 0: os._exit(1)\nend()"
    begun = time.monotonic()
    assert study.run(body) == ["finished"] * 3
    assert time.monotonic() - begun < 30


def test_a_broken_store_ends_the_study(study: Study) -> None:
    with pytest.raises(StoreError, match="disk full"):
        study.run("if seed == 1: say(event='broken', reason='disk full'); time.sleep(3600)\nend()", workers=2)


def test_a_worker_that_cannot_be_started_ends_the_study(study: Study) -> None:
    (study.folder / "workers.log").mkdir()
    with pytest.raises(IsADirectoryError):
        study.run("end()")


def test_nonsense_from_a_worker_is_a_bug_and_not_a_lost_job(study: Study) -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        study.run("print('hello', flush=True); time.sleep(3600)")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_a_stop_waits_for_all_workers_at_once_and_leaves_none(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "STOP_SECONDS", 3.0)

    def interrupt(event: Event) -> None:
        study.events.append(event)
        if sum(e.kind == "progress" for e in study.events) == 3:
            raise KeyboardInterrupt

    body = "(folder / f'pid-{os.getpid()}').touch(); steps(1); time.sleep(3600)"
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        study.run(body, workers=3, on_event=interrupt)
    assert time.monotonic() - begun < 8  # one after another would take 9 s
    pids = [int(path.name.removeprefix("pid-")) for path in study.folder.glob("pid-*")]
    assert len(pids) == 3
    assert not any(alive(pid) for pid in pids)


def test_a_study_put_to_sleep_blames_no_worker(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-Z stops the study but not its workers, which lead their own groups; SIGCONT comes after their patience."""
    monkeypatch.setattr("harness.engine.patience.ASLEEP_SECONDS", 1.4)
    me = os.getpid()
    body = "steps(1)\ntime.sleep(1.0)\nsteps(2); time.sleep(1.0); end()"
    sleeper = [sys.executable, "-c", f"import os, time; os.kill({me}, 19); time.sleep(2.5); os.kill({me}, 18)"]
    timer = threading.Timer(0.7, lambda: subprocess.run(sleeper, check=True))
    timer.start()
    assert study.run(body, workers=3) == ["finished"] * 3
    timer.join()
    assert not study.notes()
    assert signal.SIGSTOP == 19
    assert signal.SIGCONT == 18
