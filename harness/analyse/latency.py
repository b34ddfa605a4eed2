"""Decode latency against context, a + b t: the honest form of "O(1) a token with a cache" (claim C15).

The weights are read for every token, whatever its context: a. Attention reads t keys and values: b t. The fit is made
where the blocks are (harness/score/throughput/latency.py); here it becomes lines and rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analyse.quantities import Interval, rounded
from harness.analyse.text import listing
from harness.analyse.throughput import LISTED, Spread, spread

BAD_FIT = 0.1
"""Largest distance of a median from its line, as a share of the median, before the line is called bad. Assumption."""


@dataclass(frozen=True)
class Line:
    """Milliseconds a token = a + b t, t the context in tokens, with 95 % intervals.

    `equal_at` is the t at which b t = a, None where b's interval reaches 0. `residual` is the largest distance of a
    median from the line, as a share of the median.
    """

    a: float
    a_ci95: Interval
    b: float
    b_ci95: Interval
    equal_at: float | None
    residual: float


@dataclass(frozen=True)
class Latency:
    """One arm at one batch size: (context, milliseconds a token) measured, and the line, None for too few contexts."""

    arm: str
    place: int  # among the arms of the study, for its colour
    is_baseline: bool
    batch_size: int
    points: list[tuple[int, Spread]]
    line: Line | None


def latencies(detail: Mapping[str, Any], arms: Sequence[str]) -> list[Latency]:
    """By batch size, then by arm; empty when nothing was decoded. `arms` are all of the study's, the baseline first."""
    rows = [row for row in detail["rows"] if row["kind"] == "decode"]
    return [
        Latency(arm["arm"], arms.index(arm["arm"]), i == 0, size, points, _line(dict(arm["decode_fits"]).get(size)))
        for size in dict.fromkeys(row["batch_size"] for row in rows)
        for i, arm in enumerate(detail["arms"])
        if (points := _points(rows, arm["arm"], size))
    ]


def sentences(data: Sequence[Latency]) -> list[str]:
    """Where the cache costs as much as the weights, and which lines do not fit; an arm each, of a few."""
    told = [one for one in data if one.line is not None][: 2 * LISTED]
    said = [_sentence(one, one.line) for one in told if one.line is not None]
    bad = [
        f"{one.arm} at batch {one.batch_size}" for one in data if one.line is not None and one.line.residual > BAD_FIT
    ]
    if bad:
        more = f" and {len(bad) - LISTED} more" if len(bad) > LISTED else ""
        said.append(
            f"A straight line misses a median by more than {BAD_FIT:.0%} for {listing(bad[:LISTED])}{more}; "
            "read the points there, not a and b."
        )
    if any(one.line is None for one in data):
        lacking = list(dict.fromkeys(one.arm for one in data if one.line is None))
        who = listing(lacking) if len(lacking) <= LISTED else f"{len(lacking)} arms"
        said.append(f"Too few contexts for a line: {who}.")
    return said


def _sentence(one: Latency, line: Line) -> str:
    begin = (
        f"{one.arm}, batch {one.batch_size}: a token takes {rounded(line.a)} ms and {rounded(1e3 * line.b)} ms more "
    )
    begin += f"for every 1,000 tokens of context [{rounded(1e3 * line.b_ci95[0])}, {rounded(1e3 * line.b_ci95[1])}]"
    if line.equal_at is not None:
        longest = max(context for context, _ in one.points)
        beyond = ", beyond the longest measured" if line.equal_at > longest else ""
        return f"{begin}; the context costs as much as the weights at {rounded(line.equal_at)} tokens{beyond}."
    told = "whose interval reaches zero" if line.b_ci95[0] <= 0 else "and a is not above zero"
    return f"{begin}, {told}: no context is known at which it costs as much as the weights."


def _points(rows: Sequence[Mapping[str, Any]], arm: str, batch_size: int) -> list[tuple[int, Spread]]:
    mine = [row for row in rows if (row["arm"], row["batch_size"]) == (arm, batch_size)]
    measured = [(row["context"], spread(row["seconds"], 1e3)) for row in mine]
    return sorted(((context, s) for context, s in measured if s is not None), key=lambda pair: pair[0])


def _line(fit: Mapping[str, Any] | None) -> Line | None:
    if fit is None:
        return None
    a_low, a_high = (1e3 * x for x in fit["a_ci95"])
    b_low, b_high = (1e3 * x for x in fit["b_ci95"])
    return Line(1e3 * fit["a"], (a_low, a_high), 1e3 * fit["b"], (b_low, b_high), fit["equal_at"], fit["residual"])
