"""The claims' forest plot as data: a panel a unit, for numbers of different units share no axis."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from harness.analyse.claims import ClaimResult, Finding, value_text
from harness.analyse.finite import Interval
from harness.analyse.words import Word

CAP = 4.0
"""What lies beyond so many times the typical reach of a panel is drawn as an arrow at its edge. Assumption."""

EXACT = ("check", "count", "memory")
"""Measures without an interval, which a forest cannot show."""


@dataclass(frozen=True)
class ClaimRow:
    """`claimed` is the stretch of the axis that the claim allows, an open end None."""

    label: str
    value: float
    ci95: Interval | None
    word: Word
    text: str
    claimed: tuple[float | None, float | None]


@dataclass(frozen=True)
class ClaimPanel:
    """Questions of one unit. `null` is no effect: 0, or 1 for a ratio."""

    unit: str
    null: float
    rows: list[ClaimRow]
    limits: Interval


def claim_panels(found: Sequence[ClaimResult]) -> list[ClaimPanel]:
    """Every question that has an interval, by unit: losses first, then by the number of rows."""
    by_unit: dict[str, list[Finding]] = {}
    for result in found:
        for finding in result.findings:
            if finding.ci95 is not None and finding.question.measure not in EXACT:
                by_unit.setdefault(finding.unit, []).append(finding)
    panels = [_panel(unit, findings) for unit, findings in by_unit.items()]
    return sorted(panels, key=lambda panel: (not panel.unit.startswith("nats"), -len(panel.rows), panel.unit))


def _panel(unit: str, findings: Sequence[Finding]) -> ClaimPanel:
    null = 1.0 if unit == "times" else 0.0
    rows = [_row(f) for f in findings]
    reach = [max(abs(x - null) for x in row.ci95 or (row.value,)) for row in rows]
    cap = CAP * (statistics.median(reach) or 1.0)
    edges = [x for row in rows for x in (*(row.ci95 or ()), row.value) if abs(x - null) <= cap]
    low, high = min([null, *edges]), max([null, *edges])
    pad = 0.08 * (high - low) or 1.0
    return ClaimPanel(unit, null, rows, (low - pad, high + pad))


def _row(f: Finding) -> ClaimRow:
    assert f.value is not None
    label = f"{f.claim} {f.question.name}"
    return ClaimRow(label, f.value, f.ci95, f.word, value_text(f).removesuffix(f.unit).strip(), claimed_stretch(f))


def claimed_stretch(f: Finding) -> tuple[float | None, float | None]:
    """From where to where the claim puts its number."""
    limits, rule = f.question.limits, f.question.rule
    null, sesoi = limits.get("null", 0.0), limits.get("sesoi", 0.0)
    if rule == "below":
        return None, null - sesoi
    if rule == "above":
        return null + sesoi, None
    if rule == "equal":
        return null - limits["margin"], null + limits["margin"]
    if rule == "range":
        return limits["low"], limits["high"]
    if rule == "at_least":
        return limits["value_claimed"], None
    if rule == "at_most":
        return None, limits["value_claimed"]
    return math.nan, math.nan
