"""Training loss against training FLOPs."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from harness.analyse.curves import Curve
from harness.reporting.figures.style import INK, arm_line, labels, style, svg_of


def loss_curves(data: Sequence[Curve]) -> str:
    """Training loss against training FLOPs: thin a run, thick the mean of an arm's finished runs."""
    with style():
        figure = Figure(figsize=(7.2, 4.2))
        axes = figure.add_subplot()
        names = labels([curve.arm for curve in data])
        for i, (curve, name) in enumerate(zip(data, names, strict=True)):
            look = arm_line(i, curve.is_baseline)
            for line in curve.seeds:
                axes.plot(line.flops, line.losses, **look, lw=0.6, alpha=0.35)
            mean = curve.mean
            label = f" {name}" + ("" if mean else " (no run finished)")  # "_x" would be left out
            axes.plot(mean.flops if mean else [], mean.losses if mean else [], **look, lw=1.8, label=label)
        if data:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(LogFormatter())  # 1e+12; the default needs mathematical text
            axes.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))
            axes.legend(
                loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=8, ncols=1 + len(data) // 21
            )
        else:
            axes.text(0.5, 0.5, "no loss was recorded", transform=axes.transAxes, ha="center")
            axes.set(xticks=[], yticks=[])
        axes.grid(alpha=0.15, color=INK)
        axes.set_xlabel("training FLOPs")
        axes.set_ylabel("training loss, nats per token")
        return svg_of(figure, "curves")
