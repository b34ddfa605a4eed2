"""Training loss against training FLOPs, and against the wall clock."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from harness.analyse.curves import Curve, Line
from harness.reporting.figures.bands import FEW
from harness.reporting.figures.style import INK, arm_line, labels, style, svg_of


def loss_curves(data: Sequence[Curve]) -> str:
    """Training loss against training FLOPs: the mean of an arm's finished runs in their band, thin a run that did not
    finish; the means again, against seconds, where they were recorded.
    """
    with style():
        timed = any(curve.over_time for curve in data)
        figure = Figure(figsize=(9.6, 4.0) if timed else (7.2, 4.2))
        axes, *clock = figure.subplots(1, 2 if timed else 1, sharey=True, squeeze=False)[0]
        names = labels([curve.arm for curve in data])
        for i, (curve, name) in enumerate(zip(data, names, strict=True)):
            look = arm_line(i, curve.is_baseline)
            for line in curve.unfinished:
                axes.plot(line.xs, line.losses, **look, lw=0.6, alpha=0.35)
            if curve.band is not None:
                low, high = curve.band
                opacity = 0.18 if len(data) <= FEW else 0.06
                axes.fill_between(low.xs, low.losses, high.losses, color=look["color"], alpha=opacity, lw=0)
            mean = curve.mean or Line([], [])
            label = f" {name}" + ("" if curve.mean else " (no run finished)")  # "_x" would be left out
            axes.plot(mean.xs, mean.losses, **look, lw=1.8, label=label)
            for other in clock:
                over_time = curve.over_time or Line([], [])
                other.plot(over_time.xs, over_time.losses, **look, lw=1.8, label=label)
        if data:
            _logarithmic([axes, *clock])
            [axes, *clock][-1].legend(
                loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=8, ncols=1 + len(data) // 21
            )
        else:
            axes.text(0.5, 0.5, "no loss was recorded", transform=axes.transAxes, ha="center")
            axes.set(xticks=[], yticks=[])
        axes.set_xlabel("training FLOPs")
        axes.set_ylabel("training loss, nats per token")
        for other in clock:
            other.set_xlabel("seconds of training")
        return svg_of(figure, "curves")


def _logarithmic(panels: Sequence[Axes]) -> None:
    for axes in panels:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(LogFormatter())  # 1e+12; the default needs mathematical text
        axes.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))
        axes.grid(alpha=0.15, color=INK)
