"""Excess nats over the floor by facet, a marker an arm: which ability it is that an arm has or lacks."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from harness.analyse.facets import FacetRow
from harness.reporting.figures.bands import legend_beside
from harness.reporting.figures.style import INK, arm_line, labels, style, svg_of

SPREAD = 0.7
"""Share of a facet's column that the arms' markers are spread over."""


def facet_plot(rows: Sequence[FacetRow], part: str) -> str:
    """A column a facet; means over seeds with their 95 % intervals. Zero is the entropy of the text itself.

    Args:
        part: what the excess is of, for the axis: "answers".
    """
    facets = list(dict.fromkeys(row.facet for row in rows))
    arms = list({row.arm: row for row in rows}.values())
    with style():
        figure = Figure(figsize=(7.2, 3.6))
        axes = figure.add_subplot()
        axes.axhline(0, color=INK, lw=1)
        for i, (arm, name) in enumerate(zip(arms, labels([row.arm for row in arms]), strict=True)):
            color = arm_line(arm.place, arm.is_baseline)["color"]
            shift = SPREAD * ((i + 0.5) / len(arms) - 0.5)
            axes.plot([], [], "o", color=color, ms=5, label=f" {name}")  # "_x" would be left out
            for row in (row for row in rows if row.arm == arm.arm):
                x, ci95 = facets.index(row.facet) + shift, row.excess.ci95
                axes.plot(x, row.excess.mean, "o", color=color, ms=5, mfc=color if ci95 else "none")
                if ci95 is not None:
                    axes.plot((x, x), ci95, color=color, lw=1.5)
        axes.set_xticks(range(len(facets)), facets)
        axes.set_xlim(-0.6, len(facets) - 0.4)
        axes.grid(alpha=0.15, color=INK, axis="y")
        axes.set_ylabel(f"nats per byte over the floor, {part}")
        legend_beside(axes, len(arms))
        return svg_of(figure, "facets")
