"""The figures, as SVG text: the same data gives the same bytes, on any machine with this matplotlib.

Text is drawn as paths, so that a figure looks alike without its fonts and a name in it can never be markup.
What is drawn comes from analyse.forest and analyse.curves.
"""

from __future__ import annotations

import contextlib
import io
import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

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
LINE = 56  # characters of a name on one line of a figure; the tables have it whole

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
        figure = Figure(figsize=(6.0, 0.9 + 0.32 * len(data.rows)))
        axes = figure.add_subplot()
        if data.margin is not None:
            axes.axvspan(-data.margin, data.margin, color=VERDICTS["equivalent"], alpha=0.13, lw=0)
        axes.axvline(0, color=INK, lw=1)
        for y, row in enumerate(data.rows):
            _forest_row(axes, y, row, data.limits)
        axes.set_xlim(*data.limits)
        axes.set_ylim(len(data.rows) - 0.4, -0.6)
        axes.set_yticks(range(len(data.rows)), labels([row.arm for row in data.rows]))
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        better = "left" if data.lower_is_better else "right"
        axes.set_xlabel(f"difference from {labels([data.baseline])[0]}, {data.unit} (better to the {better})")
        return _svg(figure, "forest")


def _forest_row(axes: Axes, y: int, row: ForestRow, limits: tuple[float, float]) -> None:
    color = VERDICTS[row.verdict]
    for text, points, ink in ((row.verdict or "no verdict", 8, color), (row.text, 78, INK)):
        axes.annotate(
            text, (1, y), (points, 0), axes.get_yaxis_transform(), "offset points", va="center", fontsize=8.5, color=ink
        )
    if row.mean is None:
        return
    if row.ci95 is not None:
        axes.plot(row.ci95, (y, y), color=color, lw=2, solid_capstyle="butt")
    axes.plot(row.mean, y, "o", color=color, ms=6, mfc=color if row.ci95 else "none")
    for edge, marker in _beyond(row, limits):
        axes.plot(edge, y, marker, color=color, ms=7, clip_on=False)


def _beyond(row: ForestRow, limits: tuple[float, float]) -> list[tuple[float, str]]:
    """The edges of the axis that a row goes on beyond, with the arrow for each."""
    if row.mean is None:
        return []
    low, high = row.ci95 or (row.mean, row.mean)
    return [(limits[0], "<")] * (low < limits[0]) + [(limits[1], ">")] * (high > limits[1])


def loss_curves(data: Sequence[Curve]) -> str:
    """Training loss against training FLOPs: thin a run, thick the mean of an arm's finished runs."""
    with _style():
        figure = Figure(figsize=(7.2, 4.2))
        axes = figure.add_subplot()
        names = labels([curve.arm for curve in data])
        for i, (curve, name) in enumerate(zip(data, names, strict=True)):
            color = INK if curve.is_baseline else ARMS[i % len(ARMS)]
            dashes = "-" if curve.is_baseline else DASHES[i // len(ARMS) % len(DASHES)]
            for line in curve.seeds:
                axes.plot(line.flops, line.losses, color=color, ls=dashes, lw=0.6, alpha=0.35)
            mean = curve.mean
            label = f" {name}" + ("" if mean else " (no run finished)")  # "_x" would be left out
            axes.plot(
                mean.flops if mean else [], mean.losses if mean else [], color=color, ls=dashes, lw=1.8, label=label
            )
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
        return _svg(figure, "curves")


def labels(names: Sequence[str]) -> list[str]:
    """Names that fit a figure: printable, on at most two lines, and still different from one another.

    Names alike after shortening are numbered by their order in the alphabet, so alike in every figure.
    """
    fitted = {name: _two_lines(name) for name in names}
    alike = {name: sorted(other for other in fitted if fitted[other] == fitted[name]) for name in fitted}
    return [fitted[n] if len(alike[n]) == 1 else f"{fitted[n]} ({alike[n].index(n) + 1})" for n in names]


def _two_lines(name: str) -> str:
    line = "".join(c if c.isprintable() else " " for c in name)
    if len(line) > 2 * LINE:
        line = f"{line[: LINE - 1]}… …{line[-(LINE - 1) :]}"
    return "\n".join(textwrap.wrap(line, LINE, break_on_hyphens=False)[:2])


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
