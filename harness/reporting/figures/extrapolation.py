"""Validation loss against context over training length, a panel a position variant."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from harness.analyse.extrapolation import Panel
from harness.analyse.levels import limits
from harness.reporting.figures.bands import MARKERS, ROWS_OF_A_LEGEND, draw_band, legend_beside
from harness.reporting.figures.style import ARMS, INK, arm_line, labels, style, svg_of

DASHES = {"sliding": "-", "non-overlapping": "--"}
FRACTIONS = {0.25: "1/4", 0.5: "1/2"}
PANEL = 2.9
"""Height of a panel in inches; a legend of many arms makes all panels higher."""


def extrapolation_plot(data: Sequence[Panel]) -> str:
    """Panels under each other on shared axes; an arm's colour is that of every other figure."""
    with style():
        most = max(len(panel.lines) for panel in data)
        height = max(PANEL, 0.19 * min(most, ROWS_OF_A_LEGEND))
        figure = Figure(figsize=(7.2, height * len(data)))
        axes = figure.subplots(len(data), sharex=True, sharey=True, squeeze=False, gridspec_kw={"hspace": 0.28})[:, 0]
        bands = [band for panel in data for line in panel.lines for band in line.bands.values()]
        ratios = sorted({x for band in bands for x in band.xs})
        every_name = [line.arm for panel in data for line in panel.lines]
        fitted = dict(zip(every_name, labels(every_name), strict=True))
        for place, panel in zip(axes, data, strict=True):
            _panel(place, panel, fitted)
        last = axes[-1]
        last.set_xscale("log", base=2)
        last.set_xticks(ratios, [FRACTIONS.get(ratio, f"{ratio:g}") for ratio in ratios], fontsize=8)
        last.xaxis.set_minor_locator(NullLocator())
        last.set_ylim(limits(bands))
        last.set_xlabel("context / training length")
        return svg_of(figure, "extrapolation")


def _panel(axes: Axes, panel: Panel, names: dict[str, str]) -> None:
    axes.axvline(1, color=INK, lw=0.8, alpha=0.5)
    for line in panel.lines:
        color = arm_line(line.place, line.is_baseline)["color"]
        marker = "o" if line.is_baseline else MARKERS[line.place // len(ARMS) % len(MARKERS)]
        for mode, band in line.bands.items():
            label = {"label": f" {names[line.arm]}"} if mode == "sliding" else {}
            draw_band(
                axes, band, {"color": color, "ls": DASHES[mode]}, len(panel.lines), marker=marker, ms=3.5, **label
            )
    axes.set_title(f"position={panel.position}", loc="left", fontsize=9)
    axes.grid(alpha=0.15, color=INK)
    axes.set_ylabel("nats per token")
    legend_beside(axes, len(panel.lines))
