"""The jobs that wait for a worker, and which of them one takes next."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from harness.engine.job import Job


class Waiting:
    """Stacks of jobs by number, taken from the front, so that complete pairs come early.

    Of compiled jobs a worker takes the first that it has the step for, if it is among the next `near`: a shape is then
    compiled, or read from the cache, by few workers. The front is passed over `near` times at most.
    """

    def __init__(self, jobs: Sequence[Job], stacks: Sequence[tuple[int, ...]], near: int) -> None:
        self.jobs, self.stacks, self.near = jobs, list(stacks), near
        self.passed = 0  # times that the front was passed over
        self.lock = threading.Lock()

    def take(self, last: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """The next stack for a worker that has had `last`, which is None at first; None when there is none."""
        with self.lock:
            if not self.stacks:
                return None
            known = None if last is None else self._compiled(last)
            near = range(min(self.near, len(self.stacks)) if self.passed < self.near else 1)
            place = next((i for i in near if known and self._compiled(self.stacks[i]) == known), 0)
            self.passed = self.passed + 1 if place else 0
            return self.stacks.pop(place)

    def _compiled(self, stack: tuple[int, ...]) -> tuple[Any, ...] | None:
        """What a compiled step is made for; None of eager steps, whose workers keep nothing."""
        job = self.jobs[stack[0]]
        return (job.spec, job.recipe, job.manner) if job.step == "compiled" else None
