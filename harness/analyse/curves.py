"""Training loss against training FLOPs as lines to draw, an arm's mean in the band of its seeds, and runs that did not
finish; and an arm's mean against the wall clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analyse.outcomes import by_arm
from harness.analyse.statistics import mean
from harness.records.record import RunRecord, StudyRecord, StudyRun

MOST_POINTS = 200  # a line; assumption: more cannot be told apart on a page, and a report stays small
MOST_LINES = 400  # of runs that did not finish, shared out among the arms; likewise
MOST_ARMS = 40  # as many as there are looks of a line (reporting/figures/style.py)


@dataclass(frozen=True)
class Line:
    """Loss in nats per token over training FLOPs, or seconds, so far."""

    xs: list[float]
    losses: list[float]


@dataclass(frozen=True)
class Curve:
    """An arm's lines. `mean` is over its finished runs, None when it has none, and `band` their lowest and highest loss
    at each step; `over_time` is the mean against the mean seconds of these runs, every step taken to last alike, None
    where no time was recorded. `unfinished` is a line a run that diverged.
    """

    arm: str
    is_baseline: bool
    unfinished: list[Line]
    mean: Line | None
    band: tuple[Line, Line] | None = None
    over_time: Line | None = None


def curves(study: StudyRecord, runs: Sequence[StudyRun]) -> list[Curve]:
    """The arms that have a point to draw, in the study's order: the first `MOST_ARMS`, and of each its first runs.

    Whatever is left out, a mean is over all of an arm's finished runs.
    """
    drawn = []
    runs_of = by_arm(runs)
    arms = study.arms[:MOST_ARMS]
    for arm in arms:
        mine = [run.record for run in runs_of.get(arm.name, ())]
        finished = [record for record in mine if record.status == "finished"]
        others = [record for record in mine if record.status != "finished"]
        shown = (_line(record.curve) for record in others[: MOST_LINES // len(arms)])
        lines = [_thin(line) for line in shown if line.xs]
        average, low, high = _over_runs([r.curve for r in finished], (mean, min, max))
        timed = None if average is None else _over_time(average, finished)
        band = (low, high) if low and high and len(finished) > 1 else None
        if lines or average:
            drawn.append(Curve(arm.name, arm.name == study.baseline, lines, average, band, timed))
    return drawn


def _line(rows: Sequence[Sequence[float | None]]) -> Line:
    """The rows that can be drawn on a logarithmic axis; a loss that was not finite is stored as None."""
    points = [
        (flops, loss) for _, flops, loss in rows if flops and loss is not None and flops > 0 and math.isfinite(loss)
    ]
    return Line([flops for flops, _ in points], [loss for _, loss in points])


def _over_runs(
    curves: Sequence[Sequence[Sequence[float]]], folds: Sequence[Callable[[list[float]], Any]]
) -> list[Line | None]:
    """What each of `folds` makes of the losses at each step that every curve has."""
    by_step = [{row[0]: row for row in curve} for curve in curves if curve]
    shared = [step for step in by_step[0] if all(step in rows for rows in by_step)] if by_step else []
    losses = {step: [rows[step][2] for rows in by_step] for step in shared}
    steps = [step for step in shared if None not in losses[step]]
    lines = [_thin(_line([[step, by_step[0][step][1], fold(losses[step])] for step in steps])) for fold in folds]
    return [line if line.xs else None for line in lines]


def _over_time(line: Line, finished: Sequence[RunRecord]) -> Line | None:
    """The line with the FLOPs of a whole run at the mean seconds of one."""
    seconds, flops = mean([record.seconds for record in finished]), finished[0].curve[-1][1]
    return Line([x * seconds / flops for x in line.xs], line.losses) if seconds else None


def _thin(line: Line) -> Line:
    """At most MOST_POINTS points, evenly taken, the last one among them."""
    stride = math.ceil(len(line.xs) / MOST_POINTS)
    if stride < 2:
        return line
    return Line(line.xs[::-stride][::-1], line.losses[::-stride][::-1])
