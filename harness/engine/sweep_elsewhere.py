"""A trial's run on another engine: the sweep's worker stays here and asks the pruner, the training goes elsewhere.

Trials, samplers and pruners so need nothing but this machine and its storage; nodes need what a study needs of them
(docs/engines.md). The run has the same bits as here. Its losses come about once a second, so a rung's mean is over
fewer of them than here, and a pruner may judge a trial otherwise.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.engine.event import Event
from harness.engine.interface import Engine
from harness.engine.job import Job
from harness.engine.sweep import Run
from harness.records.record import RunRecord
from harness.records.store import RunStore, StoreError
from variants.errors import UserError


class _StopAskedError(Exception):
    """Raised into an engine: it has its runs checkpoint and leave, and raises it again."""


def elsewhere(engine: Engine) -> Run:
    """`execute`, done by `engine`."""

    def run(
        job: Job, *, on_progress: Callable[[int, float], None], should_stop: Callable[[], bool]
    ) -> RunRecord | None:
        def hear(event: Event) -> None:
            if event.kind == "progress":
                on_progress(event.step, event.loss)
            if event.kind != "end" and should_stop():
                raise _StopAskedError

        try:
            engine.run([job], hear)
        except _StopAskedError:
            return None
        except UserError as error:  # the place cannot run any trial, and none of them is at fault
            raise StoreError(str(error)) from error
        return RunStore(job.store).get(job.key)

    return run
