"""Chaos: a study is killed at random moments for a bounded time, and compared bit by bit with an undisturbed one.

SIGKILL and SIGTERM to workers and to the study, SIGSTOP for a while, damaged checkpoints, half-written files, a wall
clock that jumps. By hand, for longer, with another seed, and with a study of hundreds of runs:

    HARNESS_CHAOS_SECONDS=300 HARNESS_CHAOS_SEED=7 pytest tests/engine/test_chaos.py -s
"""

from __future__ import annotations

import collections
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.engine.studies import Study, children, jumping_clock, kill, needs_proc, send

SECONDS = float(os.environ.get("HARNESS_CHAOS_SECONDS", "10"))
SEED = int(os.environ.get("HARNESS_CHAOS_SEED", "0"))
ARMS = ["norm=layer,rms", "activation=gelu,relu", "--score", "position"]  # crossed: 4 arms
FEWEST = 7
"""Harms that make a test of it: every kind comes once."""

NUM_SEEDS = int(os.environ.get("HARNESS_CHAOS_SEEDS", max(3, round(SECONDS / 8))))
"""By default a run for every two seconds, each about a second long: harm comes about as often, and undoes some work."""


class Monkey:
    """Starts the study whenever there is none, and does it harm."""

    def __init__(self, study: Study, rng: random.Random) -> None:
        self.study, self.rng = study, rng
        self.done: collections.Counter[str] = collections.Counter()
        self.process: subprocess.Popen[str] = study.start()
        self.records: dict[Path, tuple[int, int]] = {}
        self.deck: list[Callable[[], None]] = []

    def work(self, seconds: float) -> None:
        """Do harm for so long; on a machine too busy to do `FEWEST` in it, for up to four times as long."""
        begun = time.monotonic()
        while time.monotonic() < begun + seconds * (1 if self.done.total() >= FEWEST else 4):
            self.wait_for_work(begun + 4 * seconds)
            time.sleep(self.rng.uniform(0.0, 0.5))
            if self.process.poll() is not None:
                assert self.process.returncode in (0, 143, -signal.SIGTERM), self.process.communicate()[1]
                if self.process.returncode == 0:
                    break
                self.restart()
            self.harm()
            self.check_records()
        kill(self.process)

    def wait_for_work(self, deadline: float) -> None:
        """Until a checkpoint or a record is new: a process that only starts is easy to kill, and nothing is trained."""
        known = self.kept()
        while time.monotonic() < deadline and self.process.poll() is None and self.kept() <= known:
            time.sleep(0.02)

    def kept(self) -> set[Path]:
        return {*self.study.checkpoints(), *self.study.out.glob("store/runs/*/*/record.json")}

    def harm(self) -> None:
        """The next card of a shuffled deck, so that every kind of harm comes."""
        if not self.deck:
            self.deck = [self.kill_worker, self.terminate_worker, self.freeze_worker, self.damage]
            self.deck += [self.kill_study, self.kill_all, self.terminate_study]
            self.deck += [self.kill_worker] * 5 if self.done else []  # later mostly what leaves the study going
            self.rng.shuffle(self.deck)
        self.deck.pop()()

    def kill_worker(self) -> None:
        self.hit("worker killed", self.worker(), signal.SIGKILL)

    def terminate_worker(self) -> None:
        self.hit("worker terminated", self.worker(), signal.SIGTERM)

    def freeze_worker(self) -> None:
        pid = self.worker()
        self.hit("worker frozen", pid, signal.SIGSTOP)
        time.sleep(self.rng.uniform(0.1, 0.5))
        send(pid, signal.SIGCONT)

    def kill_study(self) -> None:
        """The workers see it and leave; the next study meets them still at work."""
        self.done["study killed"] += 1
        kill(self.process)
        self.restart()

    def kill_all(self) -> None:
        self.done["all killed"] += 1
        kill(self.process, *children(self.process.pid))
        self.restart()

    def terminate_study(self) -> None:
        self.hit("study terminated", self.process.pid, signal.SIGTERM)
        self.process.communicate(timeout=60)

    def damage(self) -> None:
        """A bit of a checkpoint's file flips, or half a record lies about; where files come and go, luck decides."""
        files = sorted(self.study.out.rglob("checkpoints/step-*/*"))
        try:
            path = self.rng.choice(files)
            data = bytearray(path.read_bytes())
            data[self.rng.randrange(len(data))] ^= 1
            path.write_bytes(data[: self.rng.choice([len(data), len(data) // 2])])
            (path.parents[2] / f".record.json.{self.rng.getrandbits(64):016x}.tmp").write_text('{"sche')
            self.done["checkpoint damaged"] += 1
        except (FileNotFoundError, IndexError, ValueError):
            pass

    def worker(self) -> int:
        return self.rng.choice(children(self.process.pid) or [0])

    def hit(self, what: str, pid: int, number: signal.Signals) -> None:
        if pid and send(pid, number):
            self.done[what] += 1

    def restart(self) -> None:
        if self.process.stdout is not None and not self.process.stdout.closed:
            self.process.communicate()
        self.process = self.study.start()

    def check_records(self) -> None:
        """A record that was kept is never written again: the run was not trained twice."""
        for path in self.study.out.glob("store/runs/*/*/record.json"):
            status = json.loads(path.read_text())["status"]
            assert status in ("finished", "failed"), status
            if status == "finished":
                found = (path.stat().st_ino, path.stat().st_mtime_ns)
                assert self.records.setdefault(path, found) == found, f"{path} was written twice"


@needs_proc
def test_chaos_changes_no_bit(small_text: Path, tmp_path: Path) -> None:
    tokens = [*ARMS, "--seeds", str(NUM_SEEDS), "--steps", "300"]
    expected, _ = Study(tokens, small_text, tmp_path / "whole").finish()
    clock = jumping_clock(tmp_path / "clock")
    study = Study(tokens, small_text, tmp_path / "cut", **clock)
    monkey = Monkey(study, random.Random(SEED))
    monkey.work(SECONDS)
    print(f"\n{monkey.done.total()} harms to {len(expected)} runs, {len(monkey.records)} done: {monkey.done}")
    runs, _ = study.finish()
    monkey.check_records()
    assert runs == expected
    assert {run["status"] for run in runs} == {"finished"}
    assert not list((tmp_path / "cut").rglob("checkpoints/*"))
