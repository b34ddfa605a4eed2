"""A line with its interval as a band, and the legend of arms: what figures over lengths and positions share."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from harness.analyse.levels import Band

ROWS_OF_A_LEGEND = 21
"""Names in one column of a legend at the side of a figure 4 inches high."""

MARKERS = ("o", "s", "^", "D", "v")
"""Where dashes say something else, these tell apart arms of one colour."""


FEW = 8
"""Arms in a figure; the bands of more lie over each other and are drawn fainter."""


def draw_band(axes: Axes, data: Band, look: dict[str, Any], num_arms: int, **line: Any) -> None:
    """The means as a line and the 95 % intervals around it; only the line where seeds are too few for one."""
    axes.plot(data.xs, [at.mean for at in data.levels], **{**look, "lw": 1.6, **line})
    known = [(x, *at.ci95) for x, at in zip(data.xs, data.levels, strict=True) if at.ci95 is not None]
    if known:
        xs, low, high = zip(*known, strict=True)
        axes.fill_between(xs, low, high, color=look["color"], alpha=0.13 if num_arms <= FEW else 0.04, lw=0)


def legend_beside(axes: Axes, num_arms: int) -> None:
    """The legend at the right, in as many columns as the names need."""
    columns = 1 + (num_arms - 1) // ROWS_OF_A_LEGEND
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=8, ncols=columns)
