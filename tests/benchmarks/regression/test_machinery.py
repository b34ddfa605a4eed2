"""The machinery of speed ratios, on made-up clocks and baselines: nothing here depends on how fast a machine is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.regression import baseline, conftest, moved, ratio, update
from tests.benchmarks.regression.command import MEASURED
from tests.benchmarks.regression.planted import slowed
from tests.benchmarks.regression.reference import Reference, copy, gemm
from tests.benchmarks.regression.stopwatch import Stopwatch
from tests.numerics.machine import speed_class


class Clock:
    """Seconds that pass when work is done."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> Any:
        def call() -> None:
            self.now += seconds

        return call


@pytest.mark.parametrize(("seconds", "rounds"), [(3e-6, ratio.ROUNDS), (0.02, ratio.ROUNDS), (2.0, ratio.LONG_ROUNDS)])
def test_a_ratio_is_time_over_time_of_the_reference(seconds: float, rounds: int) -> None:
    clock = Clock()
    reference = Reference("half of what is wanted", clock.work(1e-5), 0.5)
    found = ratio.measure(clock.work(seconds), reference, clock)
    assert found == pytest.approx([seconds / 2e-5] * rounds)


def test_a_machine_that_slows_down_slows_both() -> None:
    """Twice as slow from some moment on: the ratios of the rounds stay."""
    clock, speed = Clock(), [1.0]

    def work(seconds: float) -> Any:
        def call() -> None:
            speed[0] = 2.0 if clock.now > 0.05 else 1.0
            clock.now += seconds * speed[0]

        return call

    found = ratio.measure(work(3e-4), Reference("it", work(1e-4), 1.0), clock)
    assert sorted(found)[len(found) // 2] == pytest.approx(3.0, rel=0.05)
    assert speed == [2.0]


def test_references_do_the_work_they_stand_for() -> None:
    product, copied = gemm(2e9), copy(10_000_000)
    assert product.share == pytest.approx(2 * 256**3 / 2e9)
    assert copied.share == pytest.approx(2**16 / 1e7)
    assert copy(1000).share == 1.0
    product.work()
    copied.work()


def test_the_stopwatch_counts_what_a_thread_takes() -> None:
    stopwatch = Stopwatch()
    before = stopwatch()
    time.sleep(0.02)
    assert stopwatch() - before >= 0.02, "a sleep is a slowdown too"


def test_noise_is_measured_again_and_a_regression_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conftest, "PAUSE", 0.0)
    noisy = iter([[2.0], [1.1], [5.0]])
    assert conftest.lowest(lambda: next(noisy), limit=1.3, most=4) == ([1.1], 2)
    slow = iter([[2.0], [1.6], [1.5], [1.7]])
    assert conftest.lowest(lambda: next(slow), limit=1.3, most=4) == ([1.5], 4)


def test_what_moved() -> None:
    found = moved.compare_runs({"a": 1.0, "b": 2.0, "c": 1.0, "gone": 1.0}, {"a": 1.5, "b": 1.0, "c": 1.05, "new": 3.0})
    assert [(row.name, row.change) for row in found.moved] == [("a", 0.5), ("b", -0.5)]
    assert (found.num_compared, found.new, found.missing) == (3, ("new",), ("gone",))
    first, slow, fast, new, missing = moved.table(found, limit=0.3)
    assert first.startswith("3 ratios compared, 2 moved")
    assert slow.endswith("+50.0%  REGRESSION")
    assert fast.endswith("-50.0%  faster")
    assert "new" in new
    assert "gone" in missing


def bench(name: str, median: float) -> dict[str, Any]:
    stats = {"median": median, "data": [median], "rounds": 1}
    kept = {"group": None, "name": name, "params": None, "param": None, "options": {}}
    return {**kept, "fullname": name, "extra_info": {"reference": "GEMM"}, "stats": stats}


def test_a_baseline_keeps_the_middle_run(tmp_path: Path) -> None:
    runs = [{"benchmarks": [bench("a", median)]} for median in (3.0, 1.0, 2.0)]
    path = tmp_path / f"{speed_class()}.json"
    baseline.write(path, baseline.middle(runs), [{"reason": "first"}])
    document = baseline.read(path)
    assert baseline.medians_of(document) == {"a": 2.0}
    assert document["benchmarks"][0]["extra_info"]["medians"] == [3.0, 1.0, 2.0]
    assert document["history"] == [{"reason": "first"}]
    found = baseline.find(str(path))
    assert found.medians == {"a": 2.0}
    assert found.sentence == f"compared with {path}"
    baseline.write(tmp_path / "other.json", [], [])
    with pytest.raises(ValueError, match="is of other, not"):
        baseline.find(str(tmp_path / "other.json"))


def test_without_a_committed_baseline_the_first_run_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(baseline, "COMMITTED", tmp_path / "committed")
    monkeypatch.setattr(baseline, "LOCAL", tmp_path / "local")
    found = baseline.find()
    assert "nothing was compared" in found.sentence
    conftest.keep_first(found, [bench("a", 2.0)])
    again = baseline.find()
    assert again.medians == {"a": 2.0}
    conftest.keep_first(again, [bench("a", 9.0), bench("b", 1.0)])
    assert baseline.find().medians == {"a": 2.0, "b": 1.0}, "the first run stays"


def test_a_renewal_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert update.main([" "]) == 2
    assert "say why" in capsys.readouterr().err


def test_a_planted_slowdown_takes_its_time() -> None:
    taken: list[float] = []

    def work() -> str:
        started = time.thread_time()
        sum(range(200_000))
        taken.append(time.thread_time() - started)
        return "done"

    started = time.thread_time()
    assert slowed(work, 3.0)() == "done"
    assert time.thread_time() - started >= 3 * taken[0]


@pytest.mark.parametrize(("before", "code", "said"), [(1e-6, 1, "REGRESSION"), (1e6, 0, "faster")])
def test_the_command_fails_on_a_regression_alone(before: float, code: int, said: str, tmp_path: Path) -> None:
    """The real command on one benchmark, against a baseline that no machine can hold, and one that none can miss."""
    name = "tests/benchmarks/regression/test_data.py::test_batch"
    path = tmp_path / f"{speed_class()}.json"
    baseline.write(path, baseline.middle([{"benchmarks": [bench(name, before)]}]), [])
    document = json.loads(path.read_text())
    document["benchmarks"][0]["stats"] |= {"min": before, "max": before, "mean": before, "stddev": 0.0, "iqr": 0.0}
    path.write_text(json.dumps(document))
    command = [sys.executable, "-m", "pytest", *MEASURED, f"--benchmark-compare={path}"]
    command[command.index(baseline.TESTS)] = name
    done = subprocess.run(
        [*command, "--benchmark-compare-fail=median:30%"],
        cwd=baseline.ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_XDIST")},  # it is no worker of this run
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stdout
    assert f"compared with {path}" in done.stdout
