"""The roofline (Williams et al. 2009, doi:10.1145/1498765.1498785): modules under the device's two ceilings."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from harness.analyse.quantities import rate
from harness.analyse.roofline import Roof
from harness.reporting.figures.legend import arm_legend
from harness.reporting.figures.style import INK, arm_line, style, svg_of

ROOM = 3.0
"""Factor of room on either side of what is drawn."""


def roofline_plot(data: Roof) -> str:
    """Above, what a module can reach under the roof, log-log; below, on the same axis, each module by name.

    An unknown ceiling is not drawn, and without both there is nothing above.
    """
    with style():
        known = data.flops_per_s is not None or data.bytes_per_s is not None
        below = 0.6 + 0.17 * len(data.names)
        figure = Figure(figsize=(6.4, below + (2.4 if known else 0.0)))
        heights = (2.4, below) if known else (below,)
        grid = figure.add_gridspec(len(heights), 1, height_ratios=heights, hspace=0.06)
        names = figure.add_subplot(grid[-1])
        limits = _limits(data)
        if known:
            _roof(figure.add_subplot(grid[0]), data, limits)
        _names(names, data, limits)
        owners = sorted({module.place: module.arms[0] for module in data.modules}.items())
        arm_legend(figure.axes[-1], {arm: {**_look(place), "ls": ""} for place, arm in owners})
        return svg_of(figure, "roofline")


def _roof(axes: Axes, data: Roof, limits: tuple[float, float]) -> None:
    low, high = limits
    peak, slope = data.flops_per_s, data.bytes_per_s
    if slope is not None:
        end = high if data.ridge is None else data.ridge
        axes.plot((low, end), (low * slope, end * slope), color=INK, lw=1.5)
        axes.annotate(rate(slope, "B/s"), (low, low * slope), (26, 2), textcoords="offset points", fontsize=8)
    if peak is not None:
        axes.plot((low if data.ridge is None else data.ridge, high), (peak, peak), color=INK, lw=1.5)
        axes.annotate(rate(peak, "FLOP/s"), (high, peak), (-4, 4), textcoords="offset points", fontsize=8, ha="right")
    for module in data.modules:
        if module.attainable is not None:
            axes.plot(module.intensity, module.attainable, **_look(module.place))
    _logarithmic(axes, limits)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(LogFormatter())
    axes.yaxis.set_minor_formatter(lambda value, _: "")
    axes.tick_params(axis="x", labelbottom=False)
    axes.set_ylabel("attainable FLOP/s")


def _names(axes: Axes, data: Roof, limits: tuple[float, float]) -> None:
    names = data.names
    for module in data.modules:
        axes.plot(module.intensity, names.index(module.name), **_look(module.place))
    if data.ridge is not None:
        axes.axvline(data.ridge, color=INK, lw=1, ls=":")
    _logarithmic(axes, limits)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", alpha=0.15, color=INK)
    axes.set_xlabel("FLOPs a byte that must move")


def _logarithmic(axes: Axes, limits: tuple[float, float]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(*limits)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda value, _: "")


def _limits(data: Roof) -> tuple[float, float]:
    shown = [module.intensity for module in data.modules] + ([] if data.ridge is None else [data.ridge])
    return min(shown, default=1.0) / ROOM, max(shown, default=1.0) * ROOM


def _look(place: int) -> dict[str, Any]:
    return {"color": arm_line(place, place == 0)["color"], "marker": "o", "ms": 5}
