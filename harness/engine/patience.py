"""How long a worker may say nothing before it is taken to hang. All clocks are monotonic.

A worker speaks after every `CHECK_EVERY` steps of training, and about once a second while it waits for a run that
another process trains or scores a run. Silence is judged by the longest silence that the same run has come out of.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from harness.engine.event import Event
from harness.train.trainer import CHECK_EVERY

TICK_SECONDS = 1.0
"""Between two looks at the workers. Assumption: a hang is noticed to the second."""

ASLEEP_SECONDS = 10.0
"""A look that comes this late says that we ourselves were stopped (Ctrl-Z, a paused machine), not that a worker hangs.
Ten times the tick, so that a busy machine is not taken for it. Assumption."""


@dataclass(frozen=True)
class Patience:
    """The silences, in seconds, that are not yet a hang.

    Args:
        first: before the first steps are done, and while scoring. The longest honest ones measured: 60 s to compile
            a model at two lengths, 35 s to load lm-eval's tasks, 10 s to import torch on a busy machine; five times
            their sum.
        least: between two looks of the trainer, however fast the steps are: a recompilation (32 s measured), a
            checkpoint onto a slow disk, a machine that swaps. Assumption: five times the recompilation.
        multiple: of the longest silence of this run so far. A machine of 2 cores with 30 processes too many is that
            much slower. Assumption.
        flops_per_second: the slowest a core may train, for the first steps of a large model: a twenty-fifth of
            what one core was measured to do at 2 x 64 (25 to 30 GFLOP/s, eager).
    """

    first: float = 600.0
    least: float = 160.0
    multiple: float = 30.0
    flops_per_second: float = 1e9

    def first_steps(self, flops_per_step: float) -> float:
        """How long a worker may take to start and do the first `CHECK_EVERY` steps."""
        return self.first + CHECK_EVERY * flops_per_step / self.flops_per_second


class Watch:
    """Whether one attempt at one job has gone silent; made when the worker is handed the job.

    Args:
        flops_per_step: training FLOPs of a step of the job.
    """

    def __init__(self, patience: Patience, flops_per_step: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.patience, self.clock = patience, clock
        self.unhurried = patience.first_steps(flops_per_step)
        self.longest = 0.0  # seconds between two progress events of this attempt
        self.heard = self.looked = clock()
        self.last = "start"

    def hear(self, event: Event) -> None:
        """The worker spoke."""
        now = self.clock()
        if event.kind == self.last == "progress":
            self.longest = max(self.longest, now - self.heard)
        self.heard, self.last = now, event.kind

    def allowed(self) -> float:
        """Seconds of silence that are not yet a hang."""
        if self.last == "progress" and self.longest:
            return max(self.patience.least, self.patience.multiple * self.longest)
        return self.unhurried

    def silent_for(self) -> float | None:
        """Seconds of silence if they are too many, else None. To be asked every `TICK_SECONDS`."""
        now = self.clock()
        if now - self.looked > ASLEEP_SECONDS:
            self.heard = now  # what the worker said meanwhile has not been read yet
        self.looked = now
        silence = now - self.heard
        return silence if silence > self.allowed() else None
