"""Two-way means with intervals: lines that are not parallel interact."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from harness.analyse.design_effects import MeansPanel
from harness.reporting.figures.style import ARMS, INK, labels, style, svg_of

COLUMNS = 3
NUDGE = 0.04
"""Lines beside each other, in columns of x, so that intervals do not hide each other."""


def interaction_plot(panels: Sequence[MeansPanel], unit: str) -> str:
    """A panel a pair of factors: levels of the first along the axis, a line a level of the second."""
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    with style():
        figure = Figure(figsize=(0.6 + 3.0 * columns, 0.3 + 2.7 * rows), layout="constrained")
        for n, panel in enumerate(panels):
            axes = figure.add_subplot(rows, columns, n + 1)
            for i, (name, means) in enumerate(zip(labels(panel.lines.levels), panel.means, strict=True)):
                look = {"color": INK if i == 0 else ARMS[(i - 1) % len(ARMS)], "lw": 1.5}
                xs = [x + NUDGE * (i - (len(panel.means) - 1) / 2) for x in range(len(means))]
                axes.errorbar(xs, means, yerr=panel.half, marker="o", ms=4, label=f" {name}", **look)
            axes.set_xticks(range(len(panel.x.levels)), labels(panel.x.levels))
            axes.set_xlim(-0.4, len(panel.x.levels) - 0.6)
            axes.set_xlabel(labels([panel.x.name])[0])
            if n % columns == 0:
                axes.set_ylabel(unit)
            title = labels([panel.lines.name])[0]
            axes.legend(title=title, frameon=False, fontsize=8, title_fontsize=8)
        return svg_of(figure, "interactions")
