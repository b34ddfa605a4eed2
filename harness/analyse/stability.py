"""How smoothly an arm trained, from what its runs recorded: the loss, averaged between the points of its curve.

A spike shorter than the distance of two points is averaged with its neighbours, and points are noisy: no threshold
calls a rise a spike, arms are read against one another. Gradient norms and activations are not recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from harness.analyse.outcomes import by_arm
from harness.records.record import RunRecord, StudyRecord, StudyRun


@dataclass(frozen=True)
class StabilityRow:
    """Over the runs of an arm. A rise is None where no curve has two points; seed and step are those of the largest."""

    arm: str
    num_runs: int
    num_diverged: int
    median_rise: float | None  # over runs
    largest_rise: float | None  # above the lowest point before it, nats per token
    seed: int | None = None
    step: int | None = None


def stability_rows(study: StudyRecord, runs: Sequence[StudyRun]) -> list[StabilityRow]:
    """An arm a row, in the study's order, without those that have no runs."""
    mine = by_arm(runs)
    return [_row(arm.name, mine[arm.name]) for arm in study.arms if arm.name in mine]


def _row(arm: str, runs: Sequence[StudyRun]) -> StabilityRow:
    rises = [(rise, run.seed, step) for run in runs for rise, step in [largest_rise(run.record)] if rise is not None]
    diverged = sum(run.record.status == "diverged" for run in runs)
    if not rises:
        return StabilityRow(arm, len(runs), diverged, None, None)
    rise, seed, step = max(rises, key=lambda found: found[0])
    return StabilityRow(arm, len(runs), diverged, median(r for r, _, _ in rises), rise, seed, step)


def largest_rise(record: RunRecord) -> tuple[float | None, int]:
    """(how far the curve rises above its lowest point so far, the step where it does), 0 for one that only falls.

    Up to where a run diverged: a loss that is no number is None in a record.
    """
    curve = [row for row in record.curve if row[2] is not None]
    if len(curve) < 2:
        return None, 0
    losses = np.array([row[2] for row in curve])
    rises = losses[1:] - np.minimum.accumulate(losses)[:-1]
    at = int(rises.argmax())
    return (float(rises[at]), int(curve[at + 1][0])) if rises[at] > 0 else (0.0, int(curve[0][0]))
