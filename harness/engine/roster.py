"""The book an engine keeps of jobs that are done elsewhere: which wait, which have ended, how often each was lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from harness.engine.event import Event
from harness.engine.job import Job, fail
from harness.engine.local import ATTEMPTS
from harness.records.store import StoreError
from variants.errors import UserError


class Roster:
    """Events go through it, so that `on_event` sees one start and one end of every job, in that order.

    Args:
        jobs: of the study.
        on_event: the study's.
    """

    def __init__(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> None:
        self.jobs, self.on_event = jobs, on_event
        self.waiting = deque(range(len(jobs)))
        self.started: set[int] = set()
        self.ended: set[int] = set()
        self.failed: set[int] = set()
        self.reached = [0] * len(jobs)  # steps that any attempt has told of
        self.reached_before = [-1] * len(jobs)  # when the job was last lost
        self.losses = [0] * len(jobs)  # one after another, without a step forward

    def hear(self, event: Event) -> None:
        """Take what is told of a job.

        Raises:
            StoreError: the store broke.
            UserError: a machine refused the job.
        """
        if event.kind == "broken":
            raise StoreError(event.reason)
        if event.status == "refused":
            raise UserError(event.reason)
        if event.job in self.ended or event.status == "stopped":
            return
        if event.job not in self.started:
            self.started.add(event.job)
            self.on_event(Event("start", event.job))
        if event.kind == "start":
            return
        self.reached[event.job] = max(self.reached[event.job], event.step)
        if event.kind == "end":
            self.ended.add(event.job)
            if event.status == "failed":
                self.failed.add(event.job)
        self.on_event(event)

    def stopped(self, index: int) -> None:
        """The job was told to leave by somebody else, and checkpointed: it is handed out again."""
        self.waiting.append(index)

    def lost(self, index: int, how: str) -> None:
        """The process that did the job is gone: hand it out again, or end it as failed when that does not help.

        Args:
            how: end of a sentence that says what became of it.
        """
        reached = self.reached[index]
        self.losses[index] = 1 if reached > self.reached_before[index] else self.losses[index] + 1
        self.reached_before[index] = reached
        if self.losses[index] < ATTEMPTS:
            self.hear(Event("note", index, reason=f"{how} after step {reached}; it goes on elsewhere"))
            self.waiting.append(index)
        else:
            self.hear(fail(index, self.jobs[index], f"{how}, {ATTEMPTS} times in a row without a step forward"))
