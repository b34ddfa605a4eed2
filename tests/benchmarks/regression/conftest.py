"""The fixture `compare`, and what `--benchmark-compare` is compared with.

    tox -e bench

A ratio beyond the limit of `--benchmark-compare-fail` is measured again, up to `TRIES` times in all and then in up to
`FRESH` new processes, and the lowest counts: noise passes, a regression stays. docs/benchmarks.md has both rates.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from tests.benchmarks.regression import baseline, moved
from tests.benchmarks.regression.command import MEASURED
from tests.benchmarks.regression.ratio import VirtualClock, measure
from tests.benchmarks.regression.reference import Reference
from tests.benchmarks.regression.stopwatch import Stopwatch
from tests.numerics.machine import speed_class

Compare = Callable[[Callable[[], object], Reference], None]

TRIES = 4
"""Measurements of a ratio that is beyond the limit, the first included."""

FRESH = 3
"""New processes: where one has its memory moves a ratio, and stays with it (measured: up to a third for mixtures)."""

PAUSE = 0.5
"""Seconds before it is measured again: whatever disturbed it may be over. Assumption."""

HERE = Path(__file__).parent
CLOCK = VirtualClock()
FOUND = pytest.StashKey[baseline.Baseline]()


def pytest_configure(config: pytest.Config) -> None:
    """`--benchmark-compare` takes a file, or without one the baseline of this class of machine, where there is one."""
    given = config.option.benchmark_compare
    if given is not True and not Path(given or "-").is_file():
        return
    try:
        found = config.stash[FOUND] = baseline.find(None if given is True else given)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    config.option.benchmark_compare = str(found.path) if found.medians else []
    if not found.medians:
        config.option.benchmark_compare_fail = None


def pytest_benchmark_generate_machine_info() -> dict[str, Any]:
    return {"class": speed_class()}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and "compare" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.benchmark(timer=CLOCK))


@pytest.fixture(scope="session")
def stopwatch() -> Iterator[Stopwatch]:
    """One thread, as in a worker."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Stopwatch()
    torch.set_num_threads(threads)


@pytest.fixture
def compare(request: pytest.FixtureRequest, benchmark: Any, stopwatch: Stopwatch) -> Compare:
    """Call it with a target and its reference: what pytest-benchmark then stores in the place of seconds are ratios."""

    def run(target: Callable[[], object], reference: Reference) -> None:
        if benchmark.disabled:
            target()
            return
        limit = limit_of(request.config, benchmark.fullname)
        ratios, tries = lowest(lambda: measure(target, reference, stopwatch), limit, TRIES)
        fresh = 0
        if statistics.median(ratios) > limit:
            others, fresh = lowest(lambda: elsewhere(request.config, request.node.nodeid), limit, FRESH)
            ratios = min(ratios, others, key=statistics.median)
        benchmark.extra_info.update(reference=reference.name, tries=tries, fresh=fresh, seconds=stopwatch.source)
        waiting = iter(ratios)
        benchmark.pedantic(lambda: CLOCK.advance(next(waiting)), rounds=len(ratios))

    return run


def lowest(once: Callable[[], list[float]], limit: float, most: int) -> tuple[list[float], int]:
    """The first measurement whose median is within the limit, else the lowest of `most`; and how many were made."""
    best = once()
    for tries in range(1, most):
        if statistics.median(best) <= limit:
            return best, tries
        time.sleep(PAUSE)
        best = min(best, once(), key=statistics.median)
    return best, most


def elsewhere(config: pytest.Config, nodeid: str) -> list[float]:
    """The ratios of one benchmark as a new process measures them, with the plugins (`-p`) of this one."""
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "ratios.json"
        plugins = [word for plugin in config.option.plugins or () for word in ("-p", plugin)]
        words = [nodeid if word == baseline.TESTS else word for word in MEASURED]
        command = [sys.executable, "-m", "pytest", *words, *plugins, f"--benchmark-json={saved}"]
        subprocess.run(command, cwd=baseline.ROOT, stdout=subprocess.DEVNULL, check=True)
        return baseline.read(saved)["benchmarks"][0]["stats"]["data"]


def limit_of(config: pytest.Config, name: str) -> float:
    """The median beyond which a benchmark fails; none without a baseline."""
    found = config.stash.get(FOUND, None)
    known = None if found is None else found.medians.get(name)
    return float("inf") if known is None else known * (1 + share(config))


def share(config: pytest.Config) -> float:
    """0.3 of `--benchmark-compare-fail=median:30%`; no limit without one."""
    checks = [check for check in config.option.benchmark_compare_fail or () if check.field == "median"]
    return min((check.threshold / 100 for check in checks), default=float("inf"))


@pytest.hookimpl(tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The table, before pytest-benchmark fails the session."""
    found = config.stash.get(FOUND, None)
    if found is None:
        return
    session = cast("Any", config)._benchmarksession
    measured = [bench for bench in session.benchmarks if bench and not bench.has_error]
    now = {bench.fullname: bench["median"] for bench in measured}
    terminalreporter.section("speed ratios")
    terminalreporter.write_line(found.sentence)
    if found.medians:
        for line in moved.table(moved.compare_runs(found.medians, now), share(config)):
            terminalreporter.write_line(line)
    if found.kind == "first run here":
        keep_first(found, [bench.as_dict(include_data=False) for bench in measured])


def keep_first(found: baseline.Baseline, benchmarks: list[dict[str, Any]]) -> None:
    """Add to the local baseline what it does not have yet."""
    known = baseline.read(found.path)
    new = [bench for bench in benchmarks if bench["fullname"] not in found.medians]
    if new:
        history = [*known.get("history", []), {"reason": "first run here", "added": len(new)}]
        baseline.write(found.path, [*known["benchmarks"], *baseline.middle([{"benchmarks": new}])], history)
