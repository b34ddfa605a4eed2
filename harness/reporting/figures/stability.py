"""The norm of the gradient over training."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from harness.analyse.stability import NormCurve
from harness.reporting.figures.bands import legend_beside
from harness.reporting.figures.style import INK, arm_line, labels, style, svg_of


def gradient_norms(data: Sequence[NormCurve]) -> str:
    """An arm's median norm as a line, its largest as a thin one above; before clipping, over steps."""
    with style():
        figure = Figure(figsize=(7.2, 4.0))
        axes = figure.add_subplot()
        for i, (curve, name) in enumerate(zip(data, labels([one.arm for one in data]), strict=True)):
            look = arm_line(i, curve.is_baseline)
            axes.plot(curve.steps, curve.medians, **look, lw=1.6, label=f" {name}")  # "_x" would be left out
            axes.plot(curve.steps, curve.largest, **look, lw=0.6, alpha=0.5)
        axes.set_yscale("log")
        plain = FuncFormatter(lambda norm, _: f"{norm:g}")  # the default needs mathematical text
        axes.yaxis.set_major_formatter(plain)
        axes.yaxis.set_minor_formatter(plain)
        axes.grid(alpha=0.15, color=INK)
        axes.set_xlabel("step")
        axes.set_ylabel("norm of the gradient, before clipping")
        legend_beside(axes, len(data))
        return svg_of(figure, "stability")
