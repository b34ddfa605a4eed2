"""How many times longer an operation takes than its reference, timed in turns: reference, target, target, reference.

What slows the machine down slows both, so the ratio stays. pytest-benchmark stores it in the place of seconds: its
`timer` is a clock that advances by the ratio of a round (`VirtualClock`), and its rounds are ours.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.benchmarks.regression.reference import Reference

SEGMENT = 1e-3
"""Seconds of one timing: some hundred times what reading the clock takes (3 us), and shorter than a turn on a core that
others want too (3 ms in Linux), so that most timings are not broken off."""

ROUNDS = 15
"""Ratios whose median is gated; odd."""

LONG = 0.25
"""Seconds from which a target is timed once a round, and in `LONG_ROUNDS` rounds."""

LONG_ROUNDS = 3

WARM_UP = 3
"""Calls of a target before the first timing: memory is allocated and code specialised by then."""

Seconds = Callable[[], float]


@dataclass(frozen=True)
class Turns:
    """How often target and reference run in one timing, and how many rounds there are."""

    target: int
    reference: int
    pattern: str
    rounds: int


def measure(target: Callable[[], object], reference: Reference, seconds: Seconds) -> list[float]:
    """A ratio a round."""
    with no_collector():
        turns = plan(target, reference, seconds)
        return [one_round(target, reference, turns, seconds) for _ in range(turns.rounds)]


def plan(target: Callable[[], object], reference: Reference, seconds: Seconds) -> Turns:
    """Repeats that make a timing about `SEGMENT` long; a long target's reference takes a tenth of its time."""
    once = time_of(target, 1, seconds)
    for _ in range(WARM_UP if once < LONG else 0):
        once = time_of(target, 1, seconds)
    once = min([once, *(time_of(target, 1, seconds) for _ in range(3 if once < LONG else 0))])
    reference_once = min(time_of(reference.work, 10, seconds) for _ in range(5)) / 10
    wanted = max(SEGMENT, 0.1 * once)
    return Turns(
        target=max(1, math.ceil(SEGMENT / max(once, 1e-9))),
        reference=max(1, math.ceil(wanted / max(reference_once, 1e-9))),
        pattern="RTTR" if once < LONG else "RTR",
        rounds=ROUNDS if once < LONG else LONG_ROUNDS,
    )


def one_round(target: Callable[[], object], reference: Reference, turns: Turns, seconds: Seconds) -> float:
    """The quicker of the target's timings over the quicker of the reference's, each for one operation."""
    times: dict[str, list[float]] = {"R": [], "T": []}
    for turn in turns.pattern:
        work, repeats = (target, turns.target) if turn == "T" else (reference.work, turns.reference)
        times[turn].append(time_of(work, repeats, seconds) / repeats)
    return min(times["T"]) / min(times["R"]) * reference.share


def time_of(work: Callable[[], object], repeats: int, seconds: Seconds) -> float:
    started = seconds()
    for _ in range(repeats):
        work()
    return seconds() - started


@contextmanager
def no_collector() -> Iterator[None]:
    """Garbage is collected before and not within."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class VirtualClock:
    """A timer for pytest-benchmark that stands still unless `advance` is called."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def advance(self, by: float) -> None:
        self.now += by
