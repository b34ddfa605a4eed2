"""A ladder drawn: loss against training FLOPs with the baseline's law, and what arms are worth at each budget."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogFormatter, NullFormatter, NullLocator

from harness.analyse.ladder_lines import WorthLine
from harness.analyse.levels import ArmBand, Band, limits
from harness.reporting.figures.bands import draw_band, legend_beside
from harness.reporting.figures.style import INK, arm_line, labels, style, svg_of

FACTORS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Ticks of a multiplier's axis; those within its limits are drawn."""


def ladder_plot(data: Sequence[ArmBand], law: Band | None) -> str:
    """A line an arm with its band over seeds, one mark a rung; the law dashed with its own."""
    with style():
        figure = Figure(figsize=(7.2, 4.2))
        axes = figure.add_subplot()
        for one, name in zip(data, labels([one.arm for one in data]), strict=True):
            look = arm_line(one.place, one.is_baseline)
            draw_band(axes, one.band, look, len(data), marker="o", ms=4, label=f" {name}")  # "_x" would be left out
        if law is not None:
            draw_band(
                axes, law, {"color": INK, "ls": (0, (1, 1.5))}, len(data) + 1, lw=1.1, label=" law of the baseline"
            )
        _log_flops(axes)
        axes.set_ylim(limits([one.band for one in data]))
        axes.set_ylabel("validation loss, nats per byte")
        legend_beside(axes, len(data) + 1)
        return svg_of(figure, "ladder")


def worth_plot(data: Sequence[WorthLine], baseline: str) -> str:
    """The multiplier of each arm over training FLOPs: a mark with its interval a rung, a line with its band between."""
    with style():
        figure = Figure(figsize=(7.2, 3.8))
        axes = figure.add_subplot()
        axes.axhline(1.0, color=INK, lw=1, alpha=0.6)
        for line, name in zip(data, labels([line.arm for line in data]), strict=True):
            look = arm_line(line.place, False)
            draw_band(axes, line.curve, look, len(data))
            for budget, multiplier, ci in line.points:
                if ci is not None:
                    axes.plot((budget, budget), ci, color=look["color"], lw=1.2)
                axes.plot(budget, multiplier, color=look["color"], marker="o", ms=5)
            axes.plot([], [], **look, marker="o", ms=5, label=f" {name}")
        _log_flops(axes)
        _factors(axes, data)
        axes.set_ylabel(f"times the compute of {labels([baseline])[0]}")
        legend_beside(axes, len(data))
        return svg_of(figure, "worth")


def _factors(axes: Axes, data: Sequence[WorthLine]) -> None:
    """A logarithmic axis around 1 with ticks that can be read."""
    ends = [1.0, *(m for line in data for _, m, _ in line.points)]
    ends += [end for line in data for _, _, ci in line.points if ci is not None for end in ci]
    low, high = max(min(ends), FACTORS[0] / 10) / 1.05, min(max(ends), 10 * FACTORS[-1]) * 1.05
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.set_yticks([factor for factor in FACTORS if low <= factor <= high])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())


def _log_flops(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(LogFormatter())  # 1e+12; the default needs mathematical text
    axes.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))
    axes.grid(alpha=0.15, color=INK)
    axes.set_xlabel("training FLOPs of a run")
