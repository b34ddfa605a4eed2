"""What every engine is: something that runs jobs and tells of them. The bits of a run do not depend on which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from harness.engine.event import Event
from harness.engine.job import Job


class Engine(Protocol):
    """Runs jobs somewhere; `execute` of harness/engine/job.py does each of them."""

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> None:
        """Run every job; each leaves its record in its store. An interrupt checkpoints the runs and is raised again.

        Args:
            on_event: called in this thread with what happens; one `start` and one `end` for every job.

        Raises:
            StoreError: a record or checkpoint could not be written.
            UserError: the place cannot run the jobs, or would not give the same bits.
        """
        ...
