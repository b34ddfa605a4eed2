"""Quality against throughput: which arms another arm beats on both counts.

An arm is dominated when another has a loss as low and a rate as high, and one of them strictly better. That is said of
the means; whether it holds beyond the intervals too is said beside it: the losses differ over the seeds that both
finished (paired t), and the intervals of the rates do not meet.
"""

from __future__ import annotations

import dataclasses
import statistics as stdlib
from collections.abc import Sequence
from dataclasses import dataclass

from harness.analyse.outcomes import Outcomes, by_arm, outcomes
from harness.analyse.quantities import Interval
from harness.analyse.scores import PRIMARY, SCORES
from harness.analyse.statistics import paired_t
from harness.analyse.text import count, listing
from harness.analyse.throughput import CASES, LISTED, CaseRow, Kind, Spread, Timings
from harness.records.record import StudyRecord, StudyRun

CAP = 4.0
"""What lies further from the best loss than this many times the median arm is drawn at the edge. Assumption."""


@dataclass(frozen=True)
class Point:
    """An arm: `rate` in tokens/s, `loss` its mean over `num_seeds` finished seeds, None one seed's interval.

    `dominated_by` are the arms that dominate it by the means, `clearly_by` those of them beyond the intervals.
    `run_seconds` is its number of training tokens at that rate, None for another case than training.
    """

    arm: str
    place: int  # among the arms of the study, for its colour
    is_baseline: bool
    rate: Spread
    loss: float
    loss_ci95: Interval | None
    num_seeds: int
    run_seconds: float | None
    dominated_by: tuple[str, ...] = ()
    clearly_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Panel:
    """One case. `frontier` joins the arms that are not dominated, by rate; `lacking` are arms without a point and why.

    `limits` are of the loss's axis: beyond the upper one an arm is drawn at the edge.
    """

    kind: Kind
    batch_size: int
    context: int
    unit: str
    points: list[Point]
    frontier: list[tuple[float, float]]
    lacking: list[tuple[str, str]]
    limits: Interval

    @property
    def title(self) -> str:
        """`training`, `decoding, batch 1, context 128`."""
        what = CASES[self.kind]
        return what if self.kind == "train" else f"{what}, batch {self.batch_size}, context {self.context:,}"


def panels(study: StudyRecord, runs: Sequence[StudyRun], data: Timings) -> list[Panel]:
    """Training, and decoding at the training length and the smallest batch, where it was measured."""
    made = [_panel(study, runs, rows) for rows in (data.of("train"), _decoding(data)) if rows]
    return [panel for panel in made if panel.points]


def sentence(panel: Panel) -> str:
    """Which arms are dominated, by which, and how surely."""
    free = [point.arm for point in panel.points if not point.dominated_by]
    rest = [point for point in panel.points if point.dominated_by]
    said = f"By loss and tokens a second ({panel.title}), "
    said += f"{listing(_few(free))} {'is' if len(free) == 1 else 'are'} not dominated"
    if not rest:
        return f"{said}, and no arm is." if len(panel.points) > 1 else f"{said}: there is no other arm."
    told = [f"{p.arm} is dominated by {listing(_few(p.clearly_by or p.dominated_by))} {_how(p)}" for p in rest[:LISTED]]
    more = f"; and {count(len(rest) - LISTED, 'more arm')}, see the table" if len(rest) > LISTED else ""
    return f"{said}; {'; '.join(told)}{more}."


def dominated_text(point: Point) -> str:
    """For a table, in lines: `no`, or `by the means` or `beyond the intervals` and by whom."""
    if not point.dominated_by:
        return "no"
    how = "beyond the intervals" if point.clearly_by else "by the means"
    return "\n".join([how, *(f"by {name}" for name in _few(point.clearly_by or point.dominated_by))])


def _how(point: Point) -> str:
    return (
        "beyond the 95 % intervals of loss and rate"
        if point.clearly_by
        else "by the means alone: an interval of loss or rate leaves it open"
    )


def _few(names: Sequence[str]) -> list[str]:
    return [*names[:LISTED], *([f"{len(names) - LISTED} more"] if len(names) > LISTED else [])]


def _decoding(data: Timings) -> list[CaseRow]:
    rows = [row for row in data.of("decode") if row.context <= data.seq_len]
    if not rows:
        return []
    case = (min(row.batch_size for row in rows), max(row.context for row in rows))
    return [row for row in rows if (row.batch_size, row.context) == case]


def _panel(study: StudyRecord, runs: Sequence[StudyRun], rows: Sequence[CaseRow]) -> Panel:
    timed, mine = {row.arm: row for row in rows}, by_arm(runs)
    found = {arm.name: outcomes(study, mine.get(arm.name, ()), arm.name, PRIMARY) for arm in study.arms}
    points: list[Point] = []
    lacking: list[tuple[str, str]] = []
    for i, arm in enumerate(study.arms):
        row, scored = timed.get(arm.name), found[arm.name]
        if row is None or row.tokens_per_s is None:
            lacking.append((arm.name, (row and row.unavailable) or "was not timed"))
        elif not scored.values:
            lacking.append((arm.name, "no run finished"))
        else:
            seconds = arm.num_tokens / row.tokens_per_s.median if row.kind == "train" else None
            points.append(_point(scored, i, arm.name == study.baseline, row.tokens_per_s, seconds))
    points = [_judged(point, points, found) for point in points]
    free = sorted((p.rate.median, p.loss) for p in points if not p.dominated_by)
    case = rows[0]
    unit = SCORES[PRIMARY].unit
    return Panel(case.kind, case.batch_size, case.context, unit, points, free, lacking, _limits(points))


def _point(scored: Outcomes, place: int, is_baseline: bool, rate: Spread, seconds: float | None) -> Point:
    values = list(scored.values.values())
    ci = paired_t(values).ci if len(values) > 1 else None
    return Point(scored.arm, place, is_baseline, rate, stdlib.fmean(values), ci, len(values), seconds)


def _judged(point: Point, points: Sequence[Point], found: dict[str, Outcomes]) -> Point:
    above = [other for other in points if _dominates(other, point)]
    clearly = [o for o in above if o.rate.ci95[0] > point.rate.ci95[1] and _lower(found[o.arm], found[point.arm])]
    by_means, beyond = (tuple(o.arm for o in which) for which in (above, clearly))
    return dataclasses.replace(point, dominated_by=by_means, clearly_by=beyond)


def _dominates(other: Point, point: Point) -> bool:
    as_good = other.loss <= point.loss and other.rate.median >= point.rate.median
    return as_good and (other.loss < point.loss or other.rate.median > point.rate.median)


def _lower(one: Outcomes, other: Outcomes) -> bool:
    """Whether the 95 % interval of the paired difference of losses lies below zero."""
    differences = [one.values[seed] - other.values[seed] for seed in one.values if seed in other.values]
    return len(differences) > 1 and paired_t(differences).ci[1] < 0


def _limits(points: Sequence[Point]) -> Interval:
    """Room for every point and interval, but for what one bad arm would stretch out of use."""
    if not points:
        return 0.0, 1.0
    ends = [p.loss_ci95 or (p.loss, p.loss) for p in points]
    best = min(p.loss for p in points)
    typical = stdlib.median([p.loss for p in points]) - best + stdlib.median([high - low for low, high in ends])
    reach = CAP * typical if typical > 0 else max(p.loss for p in points) - best
    low, high = max(min(low for low, _ in ends), best - reach), min(max(high for _, high in ends), best + reach)
    pad = 0.06 * (high - low) or 0.01 * max(abs(best), 1.0)
    return low - pad, high + pad
