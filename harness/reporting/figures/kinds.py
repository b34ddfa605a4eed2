"""Where the time goes: a bar an arm, cut by kind of operation."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from harness.analyse.profile import KINDS, WORKS, WorkTime, kinds_in
from harness.reporting.figures.style import ARMS, INK, labels, style, svg_of

COLORS = dict(zip(KINDS, (*ARMS[:6], "#8d5a2b", "#a7abb3"), strict=True))
"""The same for a kind in every figure; what is nobody's is grey."""


def kinds_plot(data: Sequence[Sequence[WorkTime]]) -> str:
    """A panel a work: milliseconds a call by kind, and in outline the rest of the clock, Python and waiting."""
    with style():
        rows = max(len(times) for times in data)
        figure = Figure(figsize=(4.0 * len(data), 0.8 + 0.34 * rows))
        for i, times in enumerate(data):
            axes = figure.add_subplot(1, len(data), i + 1)
            _panel(axes, times)
        figure.subplots_adjust(wspace=0.12)
        kinds = [kind for kind in KINDS if any(kind in kinds_in(times) for times in data)]
        entries = [Patch(fc=COLORS[kind], label=KINDS[kind]) for kind in kinds]
        entries.append(Patch(fc="none", ec=INK, lw=0.6, label="not in an operator"))
        figure.axes[-1].legend(
            handles=entries, loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0.0, frameon=False, fontsize=8
        )
        return svg_of(figure, "kinds")


def _panel(axes: Axes, times: Sequence[WorkTime]) -> None:
    for y, time in enumerate(times):
        left = 0.0
        for kind in (k for k in time.kinds if k.milliseconds):
            axes.barh(y, kind.milliseconds, left=left, height=0.62, color=COLORS[kind.kind], lw=0)
            left += kind.milliseconds
        axes.barh(y, max(0.0, time.wall - left), left=left, height=0.62, fc="none", ec=INK, lw=0.6)
    names = labels([time.arm for time in times])
    first = axes.get_subplotspec()
    shown = names if first is None or first.is_first_col() else [""] * len(names)
    axes.set_yticks(range(len(times)), shown)
    axes.set_ylim(len(times) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel(f"ms a {WORKS[times[0].work]}" if times else "")
