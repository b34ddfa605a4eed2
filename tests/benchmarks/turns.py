"""Contenders that take turns: groups of warm processes (contender.py), each asked for some steps while the others wait.

A ratio is the median over rounds of the ratio within a round, so that a machine whose speed drifts slows both of its
sides; every other round runs backwards. A group that is there twice, the control, says how much of a ratio is noise.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from harness.plan.ledger import count
from harness.spec.spec import Spec

ROOT = Path(__file__).parents[2]

Contender = list[subprocess.Popen[str]]

SIZES = {  # layers, d_model, heads, seq_len, tokens a step, vocabulary
    "2x48": (2, 48, 1, 128, 512, 257),
    "4x128": (4, 128, 4, 64, 768, 65),
    "6x384": (6, 384, 6, 256, 1024, 65),
}
"""The default; nanoGPT's own setting for a CPU; its character model, with fewer tokens a step."""

PRODUCT = 1024
"""Rows and columns of the fp32 product that is a step of the contender `gemm`."""


@contextmanager
def contenders(size: str, kinds: Mapping[str, tuple[str, int, int]]) -> Iterator[dict[str, Contender]]:
    """Warm processes: `kinds` says for each name (kind, number of processes, threads of each).

    They warm up one after another, so that one that compiles leaves its kernels in the cache for the next.
    """
    started: dict[str, Contender] = {}
    try:
        for name, (kind, processes, threads) in kinds.items():
            group = started[name] = []
            for _ in range(processes):
                group.append(_start(kind, threads, SIZES[size]))
                assert group[-1].stdout is not None
                assert group[-1].stdout.readline() == "ready\n", f"{name} did not get ready"
        yield started
    finally:
        for process in (p for group in started.values() for p in group):
            with process:
                assert process.stdin is not None
                process.stdin.close()


def _start(kind: str, threads: int, sizes: tuple[int, ...]) -> subprocess.Popen[str]:
    environment = {
        **os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)
    }  # fmt: skip
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


Rates = dict[str, list[tuple[float, float]]]


def race(groups: Mapping[str, Contender], steps: int | Mapping[str, int], rounds: int) -> Rates:
    """The rates of each group in each round; every other round runs backwards."""
    rates: Rates = {name: [] for name in groups}
    for number in range(rounds):
        for name in list(groups)[:: 1 if number % 2 == 0 else -1]:
            rates[name].append(turn(groups[name], steps if isinstance(steps, int) else steps[name]))
    return rates


def steps_for(groups: Mapping[str, Contender], seconds: float) -> dict[str, int]:
    """How many steps each group does in about so many seconds, by its rate in a first turn."""
    return {n: max(1, round(seconds * turn(group, 2)[0] / len(group))) for n, group in groups.items()}


def ratio(rates: Rates, name: str, to: str, clock: int) -> float:
    """Of two groups' rates: by wall clock (0) or by CPU time (1)."""
    return statistics.median(a[clock] / b[clock] for a, b in zip(rates[name], rates[to], strict=True))


def flops_per_token(size: str) -> float:
    """Training FLOPs, as the ledger counts them."""
    layers, d_model, heads, seq_len, _, vocab = SIZES[size]
    spec = Spec(n_layers=layers, d_model=d_model, n_heads=heads, seq_len=seq_len, vocab_size=vocab)
    return count(spec).training_flops_per_token


def gemm_ceiling(size: int = PRODUCT) -> float:
    """FLOP/s of the best fp32 product of two square matrices on one thread, by CPU time."""
    torch.set_num_threads(1)
    a, b = torch.randn(size, size), torch.randn(size, size)
    best = float("inf")
    for _ in range(20):
        started = time.process_time()
        torch.mm(a, b)
        best = min(best, time.process_time() - started)
    return 2 * size**3 / best


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns that line up, the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = [str.ljust, *(str.rjust for _ in widths[1:])]
    return "\n".join("  ".join(side(c, w) for side, c, w in zip(sides, row, widths, strict=True)) for row in rows)
