"""The forest plot of a claims ledger: a panel a unit, each question with its interval and what is claimed of it."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.analyse.claims_forest import ClaimPanel, ClaimRow
from harness.analyse.words import Word
from harness.reporting.figures.style import INK, VERDICTS, style, svg_of

COLOURS: dict[Word, str] = {
    "supported": VERDICTS["better"],
    "direction only": "#0e9aa7",
    "equivalent": VERDICTS["equivalent"],
    "refuted": VERDICTS["worse"],
    "inconclusive": VERDICTS["inconclusive"],
    "not tested": VERDICTS["inconclusive"],
    "pending": VERDICTS["inconclusive"],
}

ROW, HEAD = 0.27, 0.75
"""Inches of a row, and of what a panel has beside its rows."""


def claims_forest(panels: Sequence[ClaimPanel]) -> str:
    """All panels under each other; the shade of a row is what its claim allows."""
    with style():
        heights = [HEAD + ROW * len(panel.rows) for panel in panels]
        figure = Figure(figsize=(6.2, sum(heights)))
        ratios = {"height_ratios": heights, "hspace": 0.45 if len(panels) > 1 else 0.0}
        axes = figure.subplots(len(panels), 1, squeeze=False, gridspec_kw=ratios)[:, 0]
        for place, panel in zip(axes, panels, strict=True):
            _panel(place, panel)
        return svg_of(figure, "forest")


def _panel(axes: Axes, panel: ClaimPanel) -> None:
    axes.axvline(panel.null, color=INK, lw=1)
    for y, row in enumerate(panel.rows):
        _row(axes, y, row, panel.limits)
    axes.set_xlim(*panel.limits)
    axes.set_ylim(len(panel.rows) - 0.4, -0.6)
    axes.set_yticks(range(len(panel.rows)), [row.label for row in panel.rows], fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(panel.unit)


def _row(axes: Axes, y: int, row: ClaimRow, limits: tuple[float, float]) -> None:
    colour = COLOURS[row.word]
    low, high = (edge if end is None else end for end, edge in zip(row.claimed, limits, strict=True))
    low, high = max(low, limits[0]), min(high, limits[1])
    if low < high:
        axes.fill_between((low, high), y - 0.38, y + 0.38, color=colour, alpha=0.13, lw=0)
    for text, points, ink in ((row.word, 8, colour), (row.text, 84, INK)):
        axes.annotate(
            text, (1, y), (points, 0), axes.get_yaxis_transform(), "offset points", va="center", fontsize=8, color=ink
        )
    if row.ci95 is not None:
        axes.plot(row.ci95, (y, y), color=colour, lw=2, solid_capstyle="butt")
    if limits[0] <= row.value <= limits[1]:
        axes.plot(row.value, y, "o", color=colour, ms=5)
    ends = row.ci95 or (row.value, row.value)
    for edge, marker, beyond in ((limits[0], "<", ends[0] < limits[0]), (limits[1], ">", ends[1] > limits[1])):
        if beyond:
            axes.plot(edge, y, marker, color=colour, ms=6, clip_on=False)
