"""Loss by position in the context as lines to draw: the mean over seeds of each arm.

Reads the details of the scores called `position`, each a `PositionLoss.to_json()`.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.analyse.levels import ArmBand, band
from harness.analyse.outcomes import by_arm
from harness.analyse.scores import records_of
from harness.records.record import StudyRecord, StudyRun

SINGLE = 16
"""Positions that have a point of their own: there the loss falls fastest."""

STEP = 1.1
"""Past them, a point is the mean of positions up to this many times the first one's. Assumption: a single position is
noisier than the differences between arms, and a curve of 1,024 tokens then has some 60 points."""


def position_lines(study: StudyRecord, runs: Sequence[StudyRun]) -> list[ArmBand]:
    """The arms that were scored, in the study's order; x is the number of tokens seen, y nats per token."""
    lines = []
    mine = by_arm(runs)
    for place, arm in enumerate(study.arms):
        details = [records[0].detail for records in records_of(mine.get(arm.name, ()), arm.name, "position").values()]
        points: dict[float, list[float]] = {}
        for detail in details:
            for x, nats in _points(detail["nats"]):
                points.setdefault(x, []).append(nats)
        if points:
            lines.append(ArmBand(arm.name, place, arm.name == study.baseline, band(points)))
    return lines


def _points(nats: Sequence[float | None]) -> list[tuple[float, float]]:
    """(tokens seen, mean nats) of each span of positions that has text; `nats[t]` has seen t + 1 tokens."""
    points = []
    for first, end in _spans(len(nats)):
        known = [value for value in nats[first:end] if value is not None]
        if known:
            points.append(((first + 1 + end) / 2, sum(known) / len(known)))
    return points


def _spans(num_positions: int) -> list[tuple[int, int]]:
    """Spans [first, end) that cover the positions: singles, then each STEP times longer than what lies before."""
    ends = list(range(1, min(SINGLE, num_positions) + 1))
    while ends and ends[-1] < num_positions:
        ends.append(min(num_positions, max(ends[-1] + 1, round(ends[-1] * STEP))))
    return list(zip([0, *ends[:-1]], ends, strict=True))
