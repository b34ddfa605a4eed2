"""Drop rate and loss of a mixture against its capacity factor, the weights being the same."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from harness.analyse.experts import CapacityLine
from harness.analyse.levels import ArmBand, limits
from harness.reporting.figures.bands import draw_band, legend_beside
from harness.reporting.figures.style import INK, arm_line, labels, style, svg_of


def capacity_plot(data: Sequence[CapacityLine]) -> str:
    """Two panels under each other; no limit stands at the right."""
    with style():
        figure = Figure(figsize=(7.2, 5.4))
        drops, losses = figure.subplots(2, sharex=True, gridspec_kw={"hspace": 0.12})
        names = labels([line.loss.arm for line in data])
        for line, name in zip(data, names, strict=True):
            _draw(drops, line.drop_rate, name, len(data))
            _draw(losses, line.loss, name, len(data))
        _axes(drops, [line.drop_rate for line in data], "drop rate, share of visits")
        _axes(losses, [line.loss for line in data], "nats per token")
        xs = sorted(set().union(*(line.factors for line in data)))
        unlimited = {line.unlimited for line in data}
        losses.set_xscale("log", base=2)
        losses.set_xticks(xs, ["no limit" if x in unlimited else f"{x:g}" for x in xs])
        losses.xaxis.set_minor_locator(NullLocator())
        losses.set_xlabel("capacity factor")
        legend_beside(drops, len(data))
        return svg_of(figure, "capacity")


def _draw(axes: Axes, line: ArmBand, name: str, num_arms: int) -> None:
    draw_band(axes, line.band, arm_line(line.place, line.is_baseline), num_arms, marker="o", ms=3.5, label=f" {name}")


def _axes(axes: Axes, bands: Sequence[ArmBand], label: str) -> None:
    axes.set_ylim(limits([one.band for one in bands]))
    axes.grid(alpha=0.15, color=INK)
    axes.set_ylabel(label)
