"""A curve of a claim: lines with their bands over a logarithmic axis, and single points beside them."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from harness.analyse.claim_curves import Curve
from harness.analyse.levels import Band, limits
from harness.reporting.figures.bands import MARKERS, draw_band, legend_beside
from harness.reporting.figures.style import INK, arm_line, labels, style, svg_of

MOST_TICKS = 9


def claim_curve(data: Curve) -> str:
    """The first line is in ink, as the baseline's is in every figure."""
    with style():
        figure = Figure(figsize=(6.4, 3.2))
        axes = figure.add_subplot()
        names = labels([*data.lines, *data.marks])
        every = [*data.lines.values(), *data.marks.values()]
        for i, (one, name) in enumerate(zip(every, names, strict=True)):
            look, marker = arm_line(i - 1, i == 0), MARKERS[max(0, i - 1) // 8 % len(MARKERS)]
            if i < len(data.lines):
                draw_band(axes, one, look, len(every), marker=marker, ms=3.5, label=f" {name}")
            else:
                _point(axes, one, look["color"], name)
        xs = sorted({x for one in data.lines.values() for x in one.xs})
        axes.set_xscale("log")
        if len(xs) <= MOST_TICKS:
            axes.set_xticks(xs, [data.ticks.get(x, f"{x:.3g}") for x in xs], fontsize=8)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_ylim(limits(every))
        axes.set_xlabel(data.xlabel)
        axes.set_ylabel(data.ylabel)
        axes.grid(alpha=0.15, color=INK)
        legend_beside(axes, len(every))
        return svg_of(figure, data.name)


def _point(axes: Axes, one: Band, color: str, name: str) -> None:
    for x, at in zip(one.xs, one.levels, strict=True):
        if at.ci95 is not None:
            axes.plot((x, x), at.ci95, color=color, lw=1.4)
        axes.plot(x, at.mean, "D", color=color, ms=5, label=f" {name}")
