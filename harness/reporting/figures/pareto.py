"""Quality against throughput: the arms that no other beats on both counts are joined by a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from harness.analyse.pareto import Panel, Point
from harness.reporting.figures.legend import arm_legend
from harness.reporting.figures.style import ARMS, INK, arm_line, style, svg_of

MARKERS = ("o", "s", "^", "D", "v")
"""As dashes do for lines, they tell apart the arms that share a colour."""


def pareto_plot(data: Sequence[Panel]) -> str:
    """A panel a case: loss over tokens/s with 95 % intervals both ways; hollow is dominated."""
    with style():
        figure = Figure(figsize=(4.6 * len(data), 3.8))
        panels = [figure.add_subplot(1, len(data), i + 1) for i in range(len(data))]
        for axes, panel in zip(panels, data, strict=True):
            _panel(axes, panel)
        panels[0].set_ylabel(f"validation loss, {data[0].unit} (better below)")
        figure.subplots_adjust(wspace=0.22)
        drawn = sorted({point.arm: point for panel in data for point in panel.points}.values(), key=lambda p: p.place)
        arm_legend(panels[-1], {point.arm: {**_look(point), "ls": ""} for point in drawn})
        return svg_of(figure, "pareto")


def _panel(axes: Axes, panel: Panel) -> None:
    if len(panel.frontier) > 1:
        axes.plot(*zip(*panel.frontier, strict=True), color=INK, lw=1, alpha=0.45, zorder=1)
    for point in panel.points:
        _point(axes, point, panel.limits)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(lambda rate, _: f"{rate:,.0f}" if rate >= 10 else f"{rate:g}")
    axes.set_ylim(*panel.limits)
    axes.margins(x=0.08)
    axes.grid(alpha=0.15, color=INK)
    axes.set_xlabel(f"tokens/s, {panel.title} (better to the right)")


def _point(axes: Axes, point: Point, limits: tuple[float, float]) -> None:
    look, rate = _look(point), point.rate
    if point.loss > limits[1]:
        axes.plot(rate.median, limits[1], **{**look, "marker": "^"}, mfc="none", clip_on=False)
        return
    axes.plot(rate.ci95, (point.loss, point.loss), color=look["color"], lw=1.2, alpha=0.7)
    if point.loss_ci95 is not None:
        axes.plot((rate.median, rate.median), point.loss_ci95, color=look["color"], lw=1.2, alpha=0.7)
    axes.plot(rate.median, point.loss, **look, mfc="none" if point.dominated_by else look["color"])


def _look(point: Point) -> dict[str, Any]:
    color = arm_line(point.place, point.is_baseline)["color"]
    return {"color": color, "marker": MARKERS[point.place // len(ARMS) % len(MARKERS)], "ms": 6}
