"""Load of every expert and layer of a mixture, as a heat map an arm."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from harness.analyse.experts import LoadMap
from harness.reporting.figures.style import labels, style, svg_of

COLUMNS = 2
CELL = 0.22
"""Height of a layer in inches."""

MAP, BAR, BETWEEN, LEGEND = 4.0, 0.8, 0.62, 0.85
"""Inches: width of a map and its gap, width of the colour bar with its words, height of what stands between two maps
(an arm's name has two lines), height of the bar."""

BUSIEST = 2.0
"""Shares above twice the even one have one colour: the scale is for telling even from uneven."""

LOADS = LinearSegmentedColormap.from_list("loads", ["#2f6fde", "#e9e9ec", "#cc4b1f"], N=64)
"""Idle, even, busy: of the report's colours, and read on light and dark pages."""


def load_plot(data: Sequence[LoadMap]) -> str:
    """A map an arm: layers from the top, experts from the busiest."""
    with style():
        columns = min(COLUMNS, len(data))
        rows = math.ceil(len(data) / columns)
        layers = max(len(one.shares) for one in data)
        height = max(0.85, CELL * layers)  # of a map; its name takes up to two lines above it
        width, total = MAP * columns + BAR, (height + BETWEEN) * rows
        figure = Figure(figsize=(width, total))
        between = {"hspace": BETWEEN / height, "wspace": 0.18, "left": 0.0, "right": 1 - BAR / width}
        places = figure.subplots(rows, columns, squeeze=False, gridspec_kw={**between, "bottom": 0.0, "top": 1.0})
        scale = Normalize(0.0, BUSIEST)
        names = labels([one.arm for one in data])
        for i, axes in enumerate(places.flat):
            if i < len(data):
                _map(axes, data[i], names[i], scale)
            else:
                axes.set_visible(False)
        beside = figure.add_axes((1 - 0.7 * BAR / width, 1 - LEGEND / total, 0.12 / width, LEGEND / total))
        bar = figure.colorbar(ScalarMappable(scale, LOADS), cax=beside, extend="max", ticks=[0, 1, 2])
        assert bar.solids is not None
        bar.solids.set(edgecolor="face", rasterized=False)  # an SVG of paths alone
        bar.set_label("visits / even share", fontsize=7)
        bar.outline.set_visible(False)  # type: ignore[operator] # it is a Spine
        return svg_of(figure, "experts")


def _map(axes: Axes, data: LoadMap, name: str, scale: Normalize) -> None:
    for layer, shares in enumerate(data.shares):  # layers may have different numbers of experts
        edges = [i / len(shares) for i in range(len(shares) + 1)]
        axes.pcolormesh(edges, [layer - 0.5, layer + 0.5], [shares], cmap=LOADS, norm=scale, lw=0, antialiased=False)
    axes.set_ylim(len(data.shares) - 0.5, -0.5)
    axes.set_title(name, loc="left", fontsize=8)
    axes.set_yticks(range(len(data.shares)), [str(i) for i in range(len(data.shares))], fontsize=7)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.set_ylabel("layer", fontsize=8)
    axes.set_xlabel(f"{len(data.shares[0])} experts, busiest first", fontsize=8)
    for spine in axes.spines.values():
        spine.set_visible(False)
