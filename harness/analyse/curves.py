"""Training loss against training FLOPs as lines to draw, one thin line a run, one thick line an arm; and an arm's
against the wall clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.analyse.outcomes import by_arm
from harness.analyse.statistics import mean
from harness.records.record import RunRecord, StudyRecord, StudyRun

MOST_POINTS = 200  # a line; assumption: more cannot be told apart on a page, and a report stays small
MOST_LINES = 400  # thin ones, shared out among the arms; likewise
MOST_ARMS = 40  # as many as there are looks of a line (reporting/figures/style.py)


@dataclass(frozen=True)
class Line:
    """Loss in nats per token over training FLOPs, or seconds, so far."""

    xs: list[float]
    losses: list[float]


@dataclass(frozen=True)
class Curve:
    """An arm's lines. `mean` is over its finished runs, None when it has none; `over_time` is the same line against the
    mean seconds of these runs, every step taken to last alike, None where no time was recorded.
    """

    arm: str
    is_baseline: bool
    seeds: list[Line]
    mean: Line | None
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
        shown = (_line(record.curve) for record in mine[: MOST_LINES // len(arms)])
        lines = [_thin(line) for line in shown if line.xs]
        finished = [record for record in mine if record.status == "finished"]
        average = _mean([record.curve for record in finished])
        timed = None if average is None else _over_time(average, finished)
        if lines:
            drawn.append(Curve(arm.name, arm.name == study.baseline, lines, average, timed))
    return drawn


def _line(rows: Sequence[Sequence[float | None]]) -> Line:
    """The rows that can be drawn on a logarithmic axis; a loss that was not finite is stored as None."""
    points = [
        (flops, loss) for _, flops, loss in rows if flops and loss is not None and flops > 0 and math.isfinite(loss)
    ]
    return Line([flops for flops, _ in points], [loss for _, loss in points])


def _mean(curves: Sequence[Sequence[Sequence[float]]]) -> Line | None:
    """The mean loss at each step that every curve has."""
    by_step = [{row[0]: row for row in curve} for curve in curves if curve]
    shared = [step for step in by_step[0] if all(step in rows for rows in by_step)] if by_step else []
    losses = {step: [rows[step][2] for rows in by_step] for step in shared}
    rows = [[step, by_step[0][step][1], mean(losses[step])] for step in shared if None not in losses[step]]
    line = _thin(_line(rows))
    return line if line.xs else None


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
