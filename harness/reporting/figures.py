"""The figures, as SVG text: the same data gives the same bytes, on any machine with this matplotlib.

Text is drawn as paths, so that a figure looks alike without its fonts and a name in it can never be markup.
What is drawn comes from analyse.forest and analyse.curves.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from harness.analyse.curves import Curve
from harness.analyse.forest import Forest, ForestRow

INK = "#1a1b1e"  # text and axes; a page in the dark replaces it, see `for_page`
VERDICTS = {
    "better": "#0b8457",
    "worse": "#cc4b1f",
    "equivalent": "#2f6fde",
    "inconclusive": "#85878c",
    None: "#85878c",
}
ARMS = ("#2f6fde", "#cc4b1f", "#0b8457", "#a63fb8", "#b58900", "#0e9aa7", "#d6336c", "#6b7280")
DASHES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))  # with ARMS, 40 arms that differ
LONGEST = 44  # characters of a name in a figure; the tables have it whole

_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "ablation",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 9,
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "savefig.facecolor": "none",
    "axes.facecolor": "none",
}


def forest_plot(data: Forest) -> str:
    """Each arm's difference from the baseline with its 95 % interval, the margin as a band, zero as a line."""
    with _style():
        figure = Figure(figsize=(6.0, 0.9 + 0.3 * len(data.rows)))
        axes = figure.add_subplot()
        if data.margin is not None:
            axes.axvspan(-data.margin, data.margin, color=VERDICTS["equivalent"], alpha=0.13, lw=0)
        axes.axvline(0, color=INK, lw=1)
        for y, row in enumerate(data.rows):
            _forest_row(axes, y, row, data.limits)
        axes.set_xlim(*data.limits)
        axes.set_ylim(len(data.rows) - 0.4, -0.6)
        axes.set_yticks(range(len(data.rows)), [short(row.arm) for row in data.rows])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        better = "left" if data.lower_is_better else "right"
        axes.set_xlabel(f"difference from {short(data.baseline)}, {data.unit} (better to the {better})")
        return _svg(figure, "forest")


def _forest_row(axes: Axes, y: int, row: ForestRow, limits: tuple[float, float]) -> None:
    color = VERDICTS[row.verdict]
    axes.text(1.02, y, row.text, transform=axes.get_yaxis_transform(), va="center", fontsize=8.5)
    if row.mean is None:
        return
    if row.ci95 is not None:
        axes.plot(row.ci95, (y, y), color=color, lw=2, solid_capstyle="butt")
    low, high = row.ci95 or (row.mean, row.mean)
    axes.plot(row.mean, y, "o", color=color, ms=6, mfc=color if row.ci95 else "none")
    for edge, marker, beyond in ((limits[0], "<", low < limits[0]), (limits[1], ">", high > limits[1])):
        if beyond:
            axes.plot(edge, y, marker, color=color, ms=7, clip_on=False)


def loss_curves(data: Sequence[Curve]) -> str:
    """Training loss against training FLOPs: thin a run, thick the mean of an arm's finished runs."""
    with _style():
        figure = Figure(figsize=(7.2, 4.2))
        axes = figure.add_subplot()
        for i, curve in enumerate(data):
            color = INK if curve.is_baseline else ARMS[i % len(ARMS)]
            dashes = "-" if curve.is_baseline else DASHES[i // len(ARMS) % len(DASHES)]
            for line in curve.seeds:
                axes.plot(line.flops, line.losses, color=color, ls=dashes, lw=0.6, alpha=0.35)
            mean = curve.mean
            label = f" {short(curve.arm)}" + ("" if mean else " (no run finished)")  # "_x" would be left out
            axes.plot(
                mean.flops if mean else [], mean.losses if mean else [], color=color, ls=dashes, lw=1.8, label=label
            )
        if data:
            axes.set_xscale("log")
            axes.legend(
                loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=8, ncols=1 + len(data) // 21
            )
        else:
            axes.text(0.5, 0.5, "no loss was recorded", transform=axes.transAxes, ha="center")
            axes.set(xticks=[], yticks=[])
        axes.grid(alpha=0.15, color=INK)
        axes.set_xlabel("training FLOPs")
        axes.set_ylabel("training loss, nats per token")
        return _svg(figure, "curves")


def short(name: str) -> str:
    """A name that fits a figure: one line, printable, its middle left out when it is long."""
    line = "".join(c if c.isprintable() else " " for c in name)
    if len(line) <= LONGEST:
        return line
    half = (LONGEST - 1) // 2
    return f"{line[:half]}…{line[-half:]}"


def for_page(svg: str) -> str:
    """A figure to stand inside an HTML page: no XML prologue, and ink in the colour of the page's text."""
    return svg[svg.index("<svg") :].replace(INK, "currentColor")


@contextlib.contextmanager
def _style() -> Iterator[None]:
    """matplotlib's own defaults and ours, whatever the user's matplotlibrc says."""
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # it is drawn as a box
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def _svg(figure: Figure, name: str) -> str:
    """The figure as SVG whose ids begin with `name`, so that two figures can share a page."""
    text = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    FigureCanvasSVG(figure).print_figure(text, format="svg", bbox_inches="tight", pad_inches=0.05, metadata=nothing)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text.getvalue())
    return re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
