"""Numbers with their intervals as the text of a table's cells. A cell may have two lines."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analyse.comparison import Comparison
from harness.analyse.levels import Level
from harness.analyse.scores import Absence
from harness.analyse.text import interval, listing, number, signed

NOT_AVAILABLE = "N/A"

MOST_NAMES = 4
"""Arms named in a sentence before the rest are counted."""


def between(ci: tuple[float, float] | None, decimals: int = 4) -> str:
    """`[1.6470, 1.6555]`: an interval of a level, whose ends carry no sign."""
    return "no interval" if ci is None else f"[{number(ci[0], decimals)}, {number(ci[1], decimals)}]"


def level_text(level: Level | None, decimals: int = 4, expected: int | None = None) -> str:
    """`1.6512 [1.6470, 1.6555]`; says over how many seeds where they are not the `expected`."""
    if level is None:
        return NOT_AVAILABLE
    fewer = "" if expected in (None, level.n) else f" ({level.n} of {expected} seeds)"
    return f"{number(level.mean, decimals)} {between(level.ci95, decimals)}{fewer}"


def difference_line(c: Comparison | None, decimals: int = 4) -> str:
    """`Δ +0.0029 [-0.0008, +0.0066]`, empty where there is nothing to compare."""
    if c is None or c.mean_difference is None:
        return ""
    return f"Δ {signed(c.mean_difference, decimals)} {interval(c.ci95, decimals)}"


def lines(*parts: str) -> str:
    """A cell of the lines that are not empty."""
    return "\n".join(part for part in parts if part)


def names(arms: Sequence[str]) -> str:
    """`a, b, c, d and 36 other arms`."""
    if len(arms) <= MOST_NAMES + 1:
        return listing(arms)
    return f"{', '.join(arms[:MOST_NAMES])} and {len(arms) - MOST_NAMES} other arms"


def absence_rows(absences: Sequence[Absence]) -> list[tuple[str, ...]]:
    """(what, of which arms and why)."""
    return [(listing(absence.titles), f"{names(absence.arms)}: {absence.reason}") for absence in absences]
