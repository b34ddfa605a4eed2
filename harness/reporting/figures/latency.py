"""Milliseconds a decoded token against its context, measured, and the line a + b t."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from harness.analyse.latency import Latency
from harness.reporting.figures.legend import arm_legend
from harness.reporting.figures.style import INK, arm_line, style, svg_of


def latency_plot(data: Sequence[Latency]) -> str:
    """A panel a batch size: points with 95 % intervals, and each arm's line over the contexts it was fitted on."""
    sizes = list(dict.fromkeys(one.batch_size for one in data))
    with style():
        figure = Figure(figsize=(4.4 * len(sizes), 3.6))
        panels = [figure.add_subplot(1, len(sizes), i + 1) for i in range(len(sizes))]
        for axes, size in zip(panels, sizes, strict=True):
            _panel(axes, size, [one for one in data if one.batch_size == size])
        figure.subplots_adjust(wspace=0.25)
        arm_legend(panels[-1], {one.arm: {**_look(one), "marker": "o", "ms": 4} for one in data})
        return svg_of(figure, "latency")


def _panel(axes: Axes, size: int, data: Sequence[Latency]) -> None:
    for one in data:
        _arm(axes, one)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(lambda context, _: f"{context:,.0f}")
    axes.grid(alpha=0.15, color=INK)
    axes.set_xlabel("context, tokens")
    axes.set_ylabel(f"ms a token, batch {size}")


def _arm(axes: Axes, one: Latency) -> None:
    look = _look(one)
    for context, taken in one.points:
        axes.plot((context, context), taken.ci95, color=look["color"], lw=1.2, alpha=0.7)
    axes.plot([c for c, _ in one.points], [t.median for _, t in one.points], "o", color=look["color"], ms=4)
    if one.line is not None:
        ends = one.points[0][0], one.points[-1][0]
        axes.plot(ends, [one.line.a + one.line.b * t for t in ends], **look, lw=1.2)


def _look(one: Latency) -> dict[str, Any]:
    return arm_line(one.place, one.is_baseline)
