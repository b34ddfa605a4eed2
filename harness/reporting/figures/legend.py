"""The legend of a figure with arms in it: beside the last panel, in as many columns as its height allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from harness.reporting.figures.style import labels

ROWS = 20
"""Of a column; more would be higher than a panel. Measured at 8 points on panels of 3.6 inches."""


def arm_legend(axes: Axes, looks: Mapping[str, Mapping[str, Any]]) -> None:
    """An entry an arm in the order given; a look is what `Line2D` takes."""
    axes.legend(
        [Line2D([], [], **look) for look in looks.values()],
        [f" {name}" for name in labels(list(looks))],  # "_x" would be left out
        loc="upper left",
        bbox_to_anchor=(1.02, 1.0),
        borderaxespad=0.0,
        frameon=False,
        fontsize=8,
        ncols=1 + (len(looks) - 1) // ROWS,
    )
