"""Loss against learning rate, a line an arm: the optimum, what diverged, and an edge that the best rate lies on."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.analyse.tuning import Sensitivity
from harness.reporting.figures.bands import legend_beside
from harness.reporting.figures.style import INK, arm_line, labels, style, svg_of

ABOVE = 8.0
"""Losses further above the lowest than so many times the median rise are drawn at the top edge. Assumption: else one
rate that nearly diverged flattens every curve."""


def sensitivity_plot(data: Sequence[Sensitivity], shared: float) -> str:
    """A tick below marks an arm's optimum with its interval; a cross at the top is a rate that diverged; an arrow is a
    curve whose best rate lies on the edge.
    """
    with style():
        figure = Figure(figsize=(6.4, 3.8))
        axes = figure.add_subplot()
        low, high = _limits(data)
        axes.set_ylim(low, high)
        axes.axvline(shared, color=INK, lw=0.8, ls=":")
        names = labels([s.arm for s in data])
        for i, s in enumerate(data):
            _curve(axes, s, names[i], i, low, high)
        axes.set_xscale("log", base=2)
        rates = sorted({p.lr for s in data for p in s.curve.points if p.half % 2 == 0})
        axes.set_xticks(rates, [f"{rate:.3g}" for rate in rates], fontsize=8)
        axes.minorticks_off()
        axes.set_xlabel("peak learning rate (dotted: the shared recipe's)")
        axes.set_ylabel("validation loss, nats per byte")
        axes.grid(alpha=0.15, color=INK)
        legend_beside(axes, len(data))
        return svg_of(figure, "sensitivity")


def _limits(data: Sequence[Sensitivity]) -> tuple[float, float]:
    losses = sorted(p.mean for s in data for p in s.curve.points if p.mean is not None)
    if not losses:
        return 0.0, 1.0
    low, median = losses[0], losses[len(losses) // 2]
    rise = max(median - low, 1e-3)
    return low - 0.4 * rise, min(losses[-1], low + ABOVE * rise) + 0.4 * rise


def _curve(axes: Axes, s: Sensitivity, name: str, place: int, low: float, high: float) -> None:
    line = arm_line(place - 1, place == 0)
    finite = s.curve.finite
    means = [p.mean for p in finite if p.mean is not None]
    axes.plot([p.lr for p in finite], means, marker="o", ms=3.5, label=f" {name}", **line)
    top = high - 0.03 * (high - low) * (1 + place % 4)
    broken = [p.lr for p in s.curve.points if p.mean is None]
    axes.plot(broken, [top] * len(broken), "x", color=line["color"], ms=6, label="_")
    if s.chosen is not None:
        bottom = low + 0.03 * (high - low) * (1 + place % 4)
        if s.ci95 is not None and finite:
            first, last = s.curve.points[0].lr, s.curve.points[-1].lr
            ends = [min(max(end, first), last) for end in s.ci95]
            axes.plot(ends, [bottom, bottom], color=line["color"], lw=1.5, solid_capstyle="butt", label="_")
        axes.plot([s.chosen], [bottom], "|", color=line["color"], ms=9, mew=2, label="_")
    best = s.curve.best
    if best is not None and best.mean is not None and s.curve.edge is not None:
        axes.plot([best.lr], [best.mean], "<" if s.curve.edge == "low" else ">", color=line["color"], ms=10, label="_")
