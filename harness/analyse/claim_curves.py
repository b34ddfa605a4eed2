"""What a claim's evidence can be drawn as: loss against learning rate, context, capacity, compute; latency against
context. A curve is there where the evidence has its numbers, whichever claim it is of.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.analyse.claims import ClaimResult
from harness.analyse.levels import Band, Level, band
from harness.records.evidence import EvidenceRecord

FEWEST = 3
"""Points of a line that is worth drawing."""

NO_LIMIT = 8.0
"""Where no capacity at all is drawn: twice the largest factor that is scored."""


@dataclass(frozen=True)
class Curve:
    """Lines over a logarithmic axis. `ticks` name places on it that are no numbers."""

    name: str
    title: str
    xlabel: str
    ylabel: str
    lines: Mapping[str, Band]
    marks: Mapping[str, Band]  # single points beside the lines
    ticks: Mapping[float, str]
    caption: str


Points = dict[str, dict[float, list[float]]]
"""By line, the values at each x."""


def claim_curves(result: ClaimResult) -> list[Curve]:
    """The curves of a claim, those that its evidence has."""
    made = [make(result) for make in (_learning_rates, _contexts, _capacities, _compute, _latencies)]
    return [curve for curve in made if curve is not None and (curve.lines or curve.marks)]


def _lines(points: Points, fewest: int = FEWEST) -> dict[str, Band]:
    return {name: band(at) for name, at in points.items() if len(at) >= fewest}


def _finished(evidence: EvidenceRecord) -> list[Mapping[str, Any]]:
    return [run for run in evidence.runs if run["status"] == "finished"]


def _learning_rates(result: ClaimResult) -> Curve | None:
    """Arms that differ in nothing but their learning rate are one line."""
    facts = {arm["name"]: arm for arm in result.evidence.arms}
    points: Points = {}
    for run in _finished(result.evidence):
        arm, loss = facts[run["arm"]], run["values"].get("nats_per_byte")
        first = next(a for a in result.evidence.arms if _but_lr(a) == _but_lr(arm))
        if loss is not None:
            points.setdefault(first["name"], {}).setdefault(arm["lr"], []).append(loss)
    caption = "Mean over seeds with Student's 95 % interval; the same schedule. A run that diverged is not drawn."
    title = "Validation loss against the learning rate"
    return _curve(result, "learning-rates", title, "peak learning rate", "nats per byte", _lines(points), caption)


def _but_lr(arm: Mapping[str, Any]) -> tuple[Any, ...]:
    return arm["tokens"], arm["tokens_per_step"], arm["match"], round(arm["training_flops"] / 1e6)


def _contexts(result: ClaimResult) -> Curve | None:
    found = _by_number(result, r"sliding_([\d.]+)x")
    caption = (
        "The same target tokens at every length, windows that slide; mean over seeds with Student's 95 % interval. "
        "An arm without a value past its training length ends there."
    )
    title = "Loss against context over training length"
    return _curve(result, "extrapolation", title, "context / training length", "nats per token", found, caption)


def _capacities(result: ClaimResult) -> Curve | None:
    found = _by_number(result, r"capacity_([\d.]+|none)_cost", lambda x: NO_LIMIT if x == "none" else float(x))
    caption = "The same weights at each factor; mean over seeds with Student's 95 % interval."
    title = "What a capacity costs, against no limit"
    curve = _curve(result, "capacity", title, "capacity factor", "nats per token", found, caption)
    return None if curve is None else dataclasses.replace(curve, ticks={NO_LIMIT: "no limit"})


def _by_number(result: ClaimResult, pattern: str, number: Callable[[str], float] = float) -> dict[str, Band]:
    """A line an arm, over the number in the name of a value."""
    points: Points = {}
    for run in _finished(result.evidence):
        for name, value in run["values"].items():
            match = re.fullmatch(pattern, name)
            if match is not None and value is not None:
                points.setdefault(run["arm"], {}).setdefault(number(match[1]), []).append(value)
    return _lines(points)


def _compute(result: ClaimResult) -> Curve | None:
    """The baseline's ladder as a line, the arms that are read off it as points."""
    asked = [q for q in result.claim.questions if q.measure == "compute"]
    if not asked:
        return None
    flops = {arm["name"]: arm["training_flops"] for arm in result.evidence.arms}
    ladder, arms = asked[0].of["ladder"], dict.fromkeys(q.of["arm"] for q in asked)
    points: Points = {"dense ladder": {}}
    marks: Points = {}
    for run in _finished(result.evidence):
        loss = run["values"].get("nats_per_byte")
        if loss is not None and run["arm"] in ladder:
            points["dense ladder"].setdefault(flops[run["arm"]], []).append(loss)
        elif loss is not None and run["arm"] in arms:
            marks.setdefault(run["arm"], {}).setdefault(flops[run["arm"]], []).append(loss)
    caption = "Separately annealed runs; mean over seeds with Student's 95 % interval."
    return _curve(
        result,
        "compute",
        "Validation loss against training FLOPs",
        "training FLOPs",
        "nats per byte",
        _lines(points, 2),
        caption,
        _lines(marks, 1),
    )


def _latencies(result: ClaimResult) -> Curve | None:
    """Of the first timing that decodes at enough contexts, one text at a time."""
    for timing in result.evidence.timings.values():
        rows = [r for r in timing["detail"].get("rows", ()) if r["kind"] == "decode" and r["batch_size"] == 1]
        lines: dict[str, dict[float, Level]] = {}
        for row in (row for row in rows if row["seconds"] is not None):
            at = row["seconds"]
            low, high = at["ci95"]
            level = Level(1e3 * at["median"], (1e3 * low, 1e3 * high), at["num_blocks"])
            lines.setdefault(row["arm"], {})[float(row["context"])] = level
        bands = {name: Band(tuple(sorted(at)), tuple(at[x] for x in sorted(at))) for name, at in lines.items()}
        bands = {name: one for name, one in bands.items() if len(one.xs) >= FEWEST}
        if bands:
            caption = "Medians over blocks with bootstrap intervals, eager decoding, one thread, on this machine."
            title = f"Latency of a decoded token, {next(t.size or 'ledger size' for t in result.claim.timings)}"
            return _curve(result, "latency", title, "context, tokens", "ms a token", bands, caption)
    return None


def _curve(
    result: ClaimResult,
    kind: str,
    title: str,
    xlabel: str,
    ylabel: str,
    lines: Mapping[str, Band],
    caption: str,
    marks: Mapping[str, Band] | None = None,
) -> Curve | None:
    if not lines and not marks:
        return None
    return Curve(f"{result.claim.id}-{kind}", title, xlabel, ylabel, lines, marks or {}, {}, caption)
