"""Timed blocks, interleaved ABBA: each pass times one block of every workload, and every other pass goes backwards.

A machine that grows slower or faster during the measurement then favours no workload to first order.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence

import torch

WARM_UP = 20
"""Calls before the first timed one: caches, autotuning, compilation (definitions 3.9)."""

BLOCK_SECONDS = 0.02
"""A block is as many calls as take this long, so that the clock's and the queue's grain vanish. Assumption."""

MOST_CALLS = 1000
"""Calls in a block, however short. Assumption."""


def abba(num_workloads: int, num_passes: int) -> Iterator[int]:
    """Which workload is timed when: 0 1 2, 2 1 0, 0 1 2, ..."""
    forward = range(num_workloads)
    for i in range(num_passes):
        yield from forward if i % 2 == 0 else reversed(forward)


def time_blocks(workloads: Sequence[Callable[[], float]], num_blocks: int) -> list[list[float]]:
    """Seconds of `num_blocks` blocks of each workload, interleaved; calling a workload runs and times one block."""
    seconds: list[list[float]] = [[] for _ in workloads]
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for i in abba(len(workloads), num_blocks):
            seconds[i].append(workloads[i]())
    finally:
        if collecting:
            gc.enable()
    return seconds


def block_of(
    call: Callable[[], object],
    device: torch.device,
    *,
    prepare: Callable[[], object] = lambda: None,
    warm_up: int = WARM_UP,
    block_seconds: float = BLOCK_SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> Callable[[], float]:
    """A workload for `time_blocks`: warmed up, and sized to `block_seconds`. It gives seconds a call.

    Args:
        call: what is timed.
        prepare: done before each block, outside the clock.
    """

    def block(calls: int) -> float:
        prepare()
        synchronise(device)
        started = clock()
        for _ in range(calls):
            call()
        synchronise(device)
        return (clock() - started) / calls

    once = block(max(1, warm_up)) if warm_up else 0.0
    once = block(1) if warm_up else once
    calls = min(MOST_CALLS, max(1, math.ceil(block_seconds / once))) if once > 0 else 1
    return lambda: block(calls)


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
