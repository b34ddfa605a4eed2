"""The live view of a study on stderr: one line a running run (step, loss, time left) and one for the whole."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from harness.engine.event import Event


class StudyDisplay:
    """Context manager that shows engine events. Where stderr is no terminal it prints a line a finished run.

    Args:
        names: of the jobs, `norm=rms seed 2`.
        num_steps: of the jobs.
    """

    def __init__(self, names: Sequence[str], num_steps: Sequence[int]) -> None:
        self.names, self.num_steps = names, num_steps
        console = Console(file=sys.stderr)
        self.live = console.is_terminal
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            TimeRemainingColumn(),
            console=console,
            disable=not self.live,
        )
        self.lines: dict[int, TaskID] = {}
        self.ended = 0
        self.told_to_wait: set[int] = set()

    def __enter__(self) -> StudyDisplay:
        self.progress.start()
        self.whole = self.progress.add_task("all steps", total=sum(self.num_steps), note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def show(self, event: Event) -> None:
        """Take one event of the engine."""
        name = self.names[event.job]
        if event.kind == "start":
            self.lines[event.job] = self.progress.add_task(name, total=self.num_steps[event.job], note="")
        elif event.kind == "progress":
            line = self.lines[event.job]
            done = self.progress.tasks[self.progress.task_ids.index(line)].completed
            self.progress.update(line, completed=event.step, note=f"loss {event.loss:.4f}")
            self.progress.advance(self.whole, event.step - done)
        elif event.kind == "scoring":
            self.progress.update(self.lines[event.job], note=f"scoring: {event.reason}")
        elif event.kind == "waiting":
            self._wait(event.job, name)
        elif event.kind == "note":
            self._say(f"{name}: {event.reason}")
        elif event.kind == "end":
            self._end(event, name)

    def _end(self, event: Event, name: str) -> None:
        self.ended += 1
        self.progress.remove_task(self.lines.pop(event.job))
        if not self.live and event.status != "stopped":
            print(f"[{self.ended}/{len(self.names)}] {name}: {event.status}", file=sys.stderr, flush=True)
        if event.status in ("diverged", "failed"):
            self._say(f"{name} {event.status}: {event.reason}")

    def _wait(self, job: int, name: str) -> None:
        self.progress.update(self.lines[job], note="another process trains it")
        if not self.live and job not in self.told_to_wait:
            self.told_to_wait.add(job)
            self._say(f"{name}: another process trains the same run; waiting for it")

    def _say(self, line: str) -> None:
        self.progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
