"""What an engine tells of its jobs, whichever engine it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["start", "waiting", "progress", "scoring", "note", "end", "broken"]


@dataclass(frozen=True)
class Event:
    """What happened to a job.

    `start`: an engine took it up. `waiting`: another process trains the same run. `progress`: `step` steps are done.
    `scoring`: it is scored, `reason` says on what. `note`: `reason` is a sentence for the user. `end`: `status` says
    how (finished, diverged, failed, stopped). `broken`: the disk refused, so the study cannot go on; `reason` says why.
    `waiting` and `scoring` are repeated while they last: they show that the process is alive.
    """

    kind: Kind
    job: int
    step: int = 0
    loss: float = float("nan")
    status: str = ""
    reason: str = ""

    @classmethod
    def from_json(cls, job: int, data: dict[str, Any]) -> Event:
        """The event of a worker's line (harness/engine/worker.py)."""
        return cls(
            data["event"],
            job,
            step=data.get("step", 0),
            loss=data.get("loss", float("nan")),
            status=data.get("status", ""),
            reason=data.get("reason", ""),
        )
