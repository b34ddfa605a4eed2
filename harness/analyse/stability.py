"""How smoothly an arm trained, from what its runs recorded: divergence, rises of the loss between the points of its
curve, and, as harness/score/stability.py defines them, spikes of single steps, gradient norms, kurtosis of activations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from harness.analyse.curves import MOST_ARMS
from harness.analyse.outcomes import by_arm
from harness.records.record import RunRecord, StudyRecord, StudyRun


@dataclass(frozen=True)
class StabilityRow:
    """Over the runs of an arm. A rise is None where no curve has two points; seed and step are those of the largest.

    What follows `step` is None where no run recorded it. Spikes are of all runs together, of `judged_steps` of theirs;
    the others are medians over runs, of `largest_norm` and `kurtosis` the median of each run's largest.
    """

    arm: str
    num_runs: int
    num_diverged: int
    median_rise: float | None  # over runs
    largest_rise: float | None  # above the lowest point before it, nats per token
    seed: int | None = None
    step: int | None = None
    judged_steps: int | None = None
    loss_spikes: int | None = None
    norm_spikes: int | None = None
    clipped: float | None = None
    median_norm: float | None = None
    largest_norm: float | None = None
    kurtosis: float | None = None


@dataclass(frozen=True)
class NormCurve:
    """The norm of an arm's gradients over its steps: medians over finished runs of each run's median and largest."""

    arm: str
    is_baseline: bool
    steps: list[float]
    medians: list[float]
    largest: list[float]


def stability_rows(study: StudyRecord, runs: Sequence[StudyRun]) -> list[StabilityRow]:
    """An arm a row, in the study's order, without those that have no runs."""
    mine = by_arm(runs)
    return [_row(arm.name, mine[arm.name]) for arm in study.arms if arm.name in mine]


def _row(arm: str, runs: Sequence[StudyRun]) -> StabilityRow:
    rises = [(rise, run.seed, step) for run in runs for rise, step in [largest_rise(run.record)] if rise is not None]
    diverged = sum(run.record.status == "diverged" for run in runs)
    steps = _of_steps([run.record.stability for run in runs if run.record.stability is not None])
    if not rises:
        return StabilityRow(arm, len(runs), diverged, None, None, **steps)
    rise, seed, step = max(rises, key=lambda found: found[0])
    return StabilityRow(arm, len(runs), diverged, median(r for r, _, _ in rises), rise, seed, step, **steps)


def _of_steps(recorded: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What single steps gave, over the runs that recorded it."""
    if not recorded:
        return {}
    totals = {name: sum(one[name] for one in recorded) for name in ("judged_steps", "loss_spikes", "norm_spikes")}
    norms = [one["gradient_norm"] for one in recorded if one["gradient_norm"]]
    known = [[k for k in one["kurtosis"] or () if k is not None] for one in recorded]  # None: it was not finite
    even = [max(layers) for layers in known if layers]
    return {
        **totals,
        "clipped": median(one["clipped"] for one in recorded),
        "median_norm": median(median(row[1] for row in rows) for rows in norms) if norms else None,
        "largest_norm": median(max(row[2] for row in rows) for rows in norms) if norms else None,
        "kurtosis": median(even) if even else None,
    }


def norm_curves(study: StudyRecord, runs: Sequence[StudyRun]) -> list[NormCurve]:
    """The first `MOST_ARMS` arms of a study whose finished runs recorded norms."""
    found, mine = [], by_arm(runs)
    for arm in study.arms[:MOST_ARMS]:
        finished = [run.record.stability for run in mine.get(arm.name, ()) if run.record.status == "finished"]
        rows = list(zip(*(one["gradient_norm"] for one in finished if one), strict=False))
        if rows:
            steps, medians, largest = ([float(median(r[i] for r in row)) for row in rows] for i in range(3))
            found.append(NormCurve(arm.name, arm.name == study.baseline, steps, medians, largest))
    return found


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
