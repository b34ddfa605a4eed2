"""In what numbers the runs of a study are trained, and how many at a time: part of what they are."""

from __future__ import annotations

from dataclasses import dataclass

from harness.train.precision import Precision


@dataclass(frozen=True)
class Manner:
    """`rows` of the stack a run is trained in (harness/train/stacked.py); None: one by one."""

    precision: Precision = "fp32"
    rows: int | None = None

    def __str__(self) -> str:
        return self.precision + (f", stacks of {self.rows}" if self.rows else "")


PLAIN = Manner()
"""fp32, one by one. The identity of such a run says nothing of it."""
