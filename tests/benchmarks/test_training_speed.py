"""How fast training is, as ratios: each against its peer, in turns on the same cores, with a duplicate as control.

    pytest tests/benchmarks --benchmark-only -s

`docs/performance.md` has the numbers and the machine, and the commands of the same races with more rounds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from harness.train.compile import find_compiler
from tests.benchmarks.race_training import COMPILED, raced
from tests.benchmarks.turns import ROOT, SIZES, contenders, flops_per_token, gemm_ceiling, race, ratio

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="needs a C++ compiler")
needs_nanogpt = pytest.mark.skipif("HARNESS_NANOGPT" not in os.environ, reason="HARNESS_NANOGPT names no checkout")


def report(benchmark: Any, title: str, numbers: dict[str, float]) -> None:
    benchmark.extra_info.update(numbers)
    print(f"\n{title}: " + ", ".join(f"{name} {value:.3f}" for name, value in numbers.items()))


@needs_compiler
@pytest.mark.parametrize(("size", "steps"), [("2x48", 60), ("4x128", 12), ("6x384", 1)])
def test_compiled_against_eager(benchmark: Any, size: str, steps: int) -> None:
    """One thread each, one after another."""
    kinds = {"eager": ("eager", 1, 1), "compiled": ("compiled", 1, 1), "eager again": ("eager", 1, 1)}
    with contenders(size, kinds) as groups:
        rates = benchmark.pedantic(lambda: race(groups, steps, 12), rounds=1)
    tokens, fraction = SIZES[size][4], flops_per_token(size) / gemm_ceiling()
    numbers = {
        "compiled / eager, wall": ratio(rates, "compiled", "eager", 0),
        "CPU time": ratio(rates, "compiled", "eager", 1),
        "control, wall": ratio(rates, "eager again", "eager", 0),
        "CPU time of the control": ratio(rates, "eager again", "eager", 1),
        "eager share of the GEMM ceiling": max(r[1] for r in rates["eager"]) * tokens * fraction,
        "compiled share": max(r[1] for r in rates["compiled"]) * tokens * fraction,
    }
    report(benchmark, f"step at {size}", numbers)
    assert numbers["compiled / eager, wall"] > 1


@needs_nanogpt
@needs_compiler
@pytest.mark.parametrize("size", list(SIZES))
def test_two_workers_against_nanogpt(benchmark: Any, size: str) -> None:
    """Independent runs: two single-thread workers at once, against nanoGPT one run after another on both cores."""
    found = benchmark.pedantic(lambda: raced(size, rounds=6, seconds=1.0), rounds=1)
    report(benchmark, f"aggregate at {size}", {name: figures["ratio"] for name, figures in found.items()})
    assert found[COMPILED]["ratio"] > 1


def test_the_trainer_against_the_bare_step(benchmark: Any) -> None:
    """`race_trainer`, fewer turns. What it adds is above the noise where it is above a tenth."""
    command = [sys.executable, "-m", "tests.benchmarks.race_trainer", "--rounds", "6", "--once", "1", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = benchmark.pedantic(
        lambda: subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True), rounds=1
    )
    found = json.loads(done.stdout)
    report(benchmark, "CPU seconds", found)
    assert found["trainer"] < 0.1 * found["bare"]
