"""Validation loss against position in the context."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from harness.analyse.levels import ArmBand, limits
from harness.reporting.figures.bands import draw_band, legend_beside
from harness.reporting.figures.style import INK, arm_line, labels, style, svg_of


def position_plot(data: Sequence[ArmBand]) -> str:
    """A line an arm with its band, over the tokens that a target sees."""
    with style():
        figure = Figure(figsize=(7.2, 4.2))
        axes = figure.add_subplot()
        for one, name in zip(data, labels([one.arm for one in data]), strict=True):
            draw_band(
                axes, one.band, arm_line(one.place, one.is_baseline), len(data), label=f" {name}"
            )  # "_x" would be left out
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_ylim(limits([one.band for one in data]))
        axes.grid(alpha=0.15, color=INK)
        axes.set_xlabel("tokens of context that a target sees")
        axes.set_ylabel("validation loss, nats per token")
        legend_beside(axes, len(data))
        return svg_of(figure, "position")
