"""How fast training is, as ratios: each against its peer, in turns on the same cores, with a duplicate as control.

    pytest tests/benchmarks --benchmark-only -s

`docs/performance.md` has the numbers and the machine. A ratio is the median over rounds of the ratio within a round;
the duplicate, a contender against itself, says how much of it is noise.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harness.data.batches import Batches
from harness.model.transformer import Transformer
from harness.plan.ledger import count
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec
from harness.train.compile import find_compiler
from harness.train.optimizer import make_optimizer
from harness.train.trainer import train

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="needs a C++ compiler")
needs_nanogpt = pytest.mark.skipif("HARNESS_NANOGPT" not in os.environ, reason="HARNESS_NANOGPT names no checkout")

Contender = list[subprocess.Popen[str]]

SIZES = {  # layers, d_model, heads, seq_len, tokens a step, vocabulary
    "2x48": (2, 48, 1, 128, 512, 257),
    "4x128": (4, 128, 4, 64, 768, 65),
    "6x384": (6, 384, 6, 256, 1024, 65),
}
"""The default; nanoGPT's own setting for a CPU; its character model, with fewer tokens a step."""


@contextmanager
def contenders(size: str, kinds: dict[str, tuple[str, int, int]]) -> Iterator[dict[str, Contender]]:
    """Warm processes: `kinds` says for each name (kind, number of processes, threads of each)."""
    started: dict[str, Contender] = {}
    try:
        for name, (kind, processes, threads) in kinds.items():
            started[name] = [_start(kind, threads, SIZES[size]) for _ in range(processes)]
        for process in (p for group in started.values() for p in group):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield started
    finally:
        for process in (p for group in started.values() for p in group):
            with process:
                assert process.stdin is not None
                process.stdin.close()


def _start(kind: str, threads: int, sizes: tuple[int, ...]) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    command = [sys.executable, str(Path(__file__).with_name("contender.py")), kind, str(threads), *map(str, sizes)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def turn(group: Contender, steps: int) -> tuple[float, float]:
    """Steps a second of wall clock and of CPU time, summed over the processes of a group that run at once."""
    for process in group:
        assert process.stdin is not None
        process.stdin.write(f"{steps}\n")
        process.stdin.flush()
    seconds = [tuple(map(float, p.stdout.readline().split())) for p in group if p.stdout is not None]
    return sum(steps / wall for wall, _ in seconds), len(group) * steps / statistics.mean(cpu for _, cpu in seconds)


def race(groups: dict[str, Contender], steps: int, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """The rates of each group in each round; every other round runs backwards."""
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in groups}
    for number in range(rounds):
        for name in list(groups)[:: 1 if number % 2 == 0 else -1]:
            rates[name].append(turn(groups[name], steps))
    return rates


def ratio(rates: dict[str, list[tuple[float, float]]], name: str, to: str, clock: int) -> float:
    return statistics.median(a[clock] / b[clock] for a, b in zip(rates[name], rates[to], strict=True))


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
    tokens, fraction = SIZES[size][4], _flops_per_token(size) / gemm_ceiling()
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
@pytest.mark.parametrize(("size", "steps"), [("4x128", 20), ("6x384", 1)])
def test_two_workers_against_nanogpt(benchmark: Any, size: str, steps: int) -> None:
    """Independent runs: two single-thread workers at once, against nanoGPT one run after another on both cores."""
    kinds = {
        "nanoGPT": ("nanogpt", 1, 2),
        "eager": ("eager", 2, 1),
        "compiled": ("compiled", 2, 1),
        "nanoGPT again": ("nanogpt", 1, 2),
    }
    with contenders(size, kinds) as groups:
        rates = benchmark.pedantic(lambda: race(groups, steps, 12), rounds=1)
    numbers = {f"{name} / nanoGPT": ratio(rates, name, "nanoGPT", 0) for name in kinds if name != "nanoGPT"}
    report(benchmark, f"aggregate at {size}", numbers)
    assert numbers["compiled / nanoGPT"] > 1


def test_the_trainer_against_the_bare_step(benchmark: Any, tmp_path: Path) -> None:
    """`train` with its schedule, batches, losses, checks, progress and checkpoints, against torch calls in a row.

    The bare step has the clipping, which is part of the mathematics.
    """
    torch.set_num_threads(1)
    spec, recipe, steps = Spec(), Recipe(), 200
    tokens = np.random.default_rng(0).integers(0, spec.vocab_size, 1_000_000)
    batches = Batches(tokens, spec.seq_len, recipe.tokens_per_step // spec.seq_len, 0)
    prepared = [batches.batch(step) for step in range(steps)]

    def bare() -> None:
        model = Transformer(spec, seed=0).train()
        optimizer, parameters = make_optimizer(model, recipe), list(model.parameters())
        for batch in prepared:
            model.loss(*batch).backward()
            nn.utils.clip_grad_norm_(parameters, recipe.clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def ours(checkpoint_seconds: float) -> Callable[[], object]:
        def run() -> None:
            folder = tmp_path / str(time.perf_counter_ns())
            model = Transformer(spec, seed=0)
            train(model, batches, recipe, steps, folder=folder, checkpoint_seconds=checkpoint_seconds)

        return run

    calls = {"bare": bare, "trainer": ours(1e9), "with checkpoints": ours(0.8), "bare again": bare}
    seconds = benchmark.pedantic(lambda: take_turns(calls, rounds=11), rounds=1)
    numbers = {
        name: statistics.median(a / b for a, b in zip(seconds[name], seconds["bare"], strict=True)) - 1
        for name in calls
        if name != "bare"
    }
    report(benchmark, "CPU time beyond the bare step", numbers)
    assert numbers["trainer"] < 0.1


def take_turns(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each call in each round, after one that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name in list(calls)[:: 1 if number % 2 == 0 else -1]:
            started = time.process_time()
            calls[name]()
            if number:
                seconds[name].append(time.process_time() - started)
    return seconds


def _flops_per_token(size: str) -> float:
    layers, d_model, heads, seq_len, _, vocab = SIZES[size]
    spec = Spec(n_layers=layers, d_model=d_model, n_heads=heads, seq_len=seq_len, vocab_size=vocab)
    return count(spec).training_flops_per_token


def gemm_ceiling(size: int = 1024) -> float:
    """FLOP/s of the best fp32 product of two square matrices on one thread, by CPU time."""
    torch.set_num_threads(1)
    a, b = torch.randn(size, size), torch.randn(size, size)
    best = float("inf")
    for _ in range(20):
        started = time.process_time()
        torch.mm(a, b)
        best = min(best, time.process_time() - started)
    return 2 * size**3 / best
