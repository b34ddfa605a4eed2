"""Each seed from the other arm to the arm: lines that fall together are a gain on every seed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from harness.analyse.comparison import Comparison
from harness.reporting.figures.style import INK, VERDICTS, labels, style, svg_of

COLUMNS = 4

MOST_SEEDS = 200
"""Lines in a panel. Assumption: more cannot be told apart."""

SHORT = 40
"""Letters of a name that fit over a panel; with longer ones there are half as many in a row."""


def slope_plot(data: Sequence[Comparison]) -> str:
    """A panel a comparison, a line a seed; all on one axis, so that steepness compares."""
    names = labels([c.arm for c in data])
    longest = max(len(line) for name in names for line in name.split("\n"))
    columns = min(COLUMNS if longest <= SHORT else COLUMNS // 2, len(data))
    rows = -(-len(data) // columns)
    width = 2.2 if longest <= SHORT else 4.4
    with style():
        figure = Figure(figsize=(1.0 + width * columns, 0.6 + 2.4 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False).flat
        for axes, c, name in zip(panels, data, names, strict=False):
            pairs = c.pairs[:MOST_SEEDS]
            ends = [end for _, baseline, arm in pairs for end in (baseline, arm, math.nan)]  # a gap after each seed
            axes.plot([0, 1, math.nan] * len(pairs), ends, marker="o", ms=3, lw=1, color=VERDICTS[c.verdict])
            axes.set_xticks([0, 1], ["other", "arm"])
            axes.set_xlim(-0.25, 1.25)
            axes.set_title(name, fontsize=7)
            axes.grid(alpha=0.15, color=INK, axis="y")
        for axes in list(figure.axes)[len(data) :]:
            axes.remove()
        for axes in figure.axes[::columns]:
            axes.set_ylabel(data[0].unit)
        return svg_of(figure, "slopes")
