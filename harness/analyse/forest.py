"""The forest plot as data: one row an arm, and an axis that one bad arm cannot stretch out of use."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from harness.analyse.comparison import Comparison, Verdict
from harness.analyse.tables import worst_first
from harness.analyse.text import interval, signed

MOST_ROWS = 100  # drawn, half of them the worst and half the best; assumption: a figure of 30 inches is the longest
CAP = 4.0  # assumption: what lies beyond 4 margins and 4 typical intervals is drawn as an arrow at the edge


@dataclass(frozen=True)
class ForestRow:
    """A difference, its interval, and both as text."""

    arm: str
    mean: float | None
    ci95: tuple[float, float] | None
    verdict: Verdict | None
    text: str


@dataclass(frozen=True)
class Forest:
    """Rows from the top; `limits` of the axis hold zero and the margin."""

    rows: list[ForestRow]
    baseline: str
    margin: float | None
    unit: str
    lower_is_better: bool
    limits: tuple[float, float]
    noise: float | None = None  # half of the A/A band
    left_out: int = 0  # rows between the worst and the best that are drawn


def forest(comparisons: Sequence[Comparison], noise: float | None = None) -> Forest | None:
    """The plot's data, or None when there is nothing to compare.

    Args:
        noise: half of the A/A band (analyse/noise.py), where it is known.
    """
    if not comparisons:
        return None
    first, ordered = comparisons[0], worst_first(comparisons)
    left_out = max(0, len(ordered) - MOST_ROWS)
    if left_out:
        ordered = [*ordered[: MOST_ROWS // 2], *ordered[-MOST_ROWS // 2 :]]
    return Forest(
        rows=[ForestRow(c.arm, c.mean_difference, c.ci95, c.verdict, _text(c)) for c in ordered],
        baseline=first.baseline if len({c.baseline for c in comparisons}) == 1 else "the arm it is compared with",
        margin=first.margin,
        unit=first.unit,
        lower_is_better=first.direction == "lower",
        limits=_limits(ordered, first.margin or 0.0, noise or 0.0),
        noise=noise,
        left_out=left_out,
    )


def _limits(comparisons: Sequence[Comparison], margin: float, noise: float) -> tuple[float, float]:
    spans = [c.ci95 or (c.mean_difference, c.mean_difference) for c in comparisons if c.mean_difference is not None]
    reach = [max(abs(low), abs(high)) for low, high in spans]
    cap = CAP * max(margin, statistics.median(reach) if reach else 0.0)
    low = max(-cap, min([-1.5 * margin, -noise, *(low for low, _ in spans)]))
    high = min(cap, max([1.5 * margin, noise, *(high for _, high in spans)]))
    if high <= low:  # every difference is zero and no margin was declared
        return -1.0, 1.0
    pad = 0.06 * (high - low)
    return min(low, 0.0) - pad, max(high, 0.0) + pad


def _text(c: Comparison) -> str:
    return "no pair finished" if c.mean_difference is None else f"{signed(c.mean_difference)} {interval(c.ci95)}"
