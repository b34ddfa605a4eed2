"""The forest plot: each arm's difference from the baseline with its interval. The headline figure."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.analyse.forest import Forest, ForestRow
from harness.reporting.figures.style import INK, VERDICTS, labels, style, svg_of


def forest_plot(data: Forest) -> str:
    """Each arm's difference from the baseline with its 95 % interval, the margin and the A/A noise as bands, zero as a
    line.
    """
    with style():
        figure = Figure(figsize=(6.0, 0.9 + 0.32 * len(data.rows)))
        axes = figure.add_subplot()
        if data.margin is not None:
            axes.axvspan(-data.margin, data.margin, color=VERDICTS["equivalent"], alpha=0.13, lw=0)
        if data.noise is not None:
            axes.axvspan(-data.noise, data.noise, fc="none", ec=INK, hatch="///", alpha=0.16, lw=0.8)
        axes.axvline(0, color=INK, lw=1)
        for y, row in enumerate(data.rows):
            _forest_row(axes, y, row, data.limits)
        axes.set_xlim(*data.limits)
        axes.set_ylim(len(data.rows) - 0.4, -0.6)
        axes.set_yticks(range(len(data.rows)), labels([row.arm for row in data.rows]))
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        better = "left" if data.lower_is_better else "right"
        axes.set_xlabel(f"difference from {labels([data.baseline])[0]}, {data.unit} (better to the {better})")
        return svg_of(figure, "forest")


def _forest_row(axes: Axes, y: int, row: ForestRow, limits: tuple[float, float]) -> None:
    color = VERDICTS[row.verdict]
    for text, points, ink in ((row.verdict or "no verdict", 8, color), (row.text, 78, INK)):
        axes.annotate(
            text, (1, y), (points, 0), axes.get_yaxis_transform(), "offset points", va="center", fontsize=8.5, color=ink
        )
    if row.mean is None:
        return
    if row.ci95 is not None:
        axes.plot(row.ci95, (y, y), color=color, lw=2, solid_capstyle="butt")
    axes.plot(row.mean, y, "o", color=color, ms=6, mfc=color if row.ci95 else "none")
    for edge, marker in _beyond(row, limits):
        axes.plot(edge, y, marker, color=color, ms=7, clip_on=False)


def _beyond(row: ForestRow, limits: tuple[float, float]) -> list[tuple[float, str]]:
    """The edges of the axis that a row goes on beyond, with the arrow for each."""
    if row.mean is None:
        return []
    low, high = row.ci95 or (row.mean, row.mean)
    return [(limits[0], "<")] * (low < limits[0]) + [(limits[1], ">")] * (high > limits[1])
