"""How every figure looks, and how it becomes SVG text: the same data gives the same bytes, on any machine with this
matplotlib. One figure a file beside this one; what is drawn comes from `analyse`.

Text is drawn as paths, so that a figure looks alike without its fonts and a name in it can never be markup.
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
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

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


def arm_line(index: int, is_baseline: bool) -> dict[str, Any]:
    """Colour and dashes of an arm, alike in every figure: the baseline in ink, the others by their place."""
    if is_baseline:
        return {"color": INK, "ls": "-"}
    return {"color": ARMS[index % len(ARMS)], "ls": DASHES[index // len(ARMS) % len(DASHES)]}


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
    first, *rest = textwrap.wrap(line, LINE, break_on_hyphens=False) or [""]
    return "\n".join([first, *([f"{rest[0]} …"] if len(rest) > 1 else rest)])


def for_page(svg: str) -> str:
    """A figure to stand inside an HTML page: no XML prologue, and ink in the colour of the page's text."""
    return svg[svg.index("<svg") :].replace(INK, "currentColor")


@contextlib.contextmanager
def style() -> Iterator[None]:
    """matplotlib's own defaults and ours, whatever the user's matplotlibrc says."""
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # it is drawn as a box
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def svg_of(figure: Figure, name: str) -> str:
    """The figure as SVG whose ids begin with `name`, so that two figures can share a page."""
    text = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    FigureCanvasSVG(figure).print_figure(text, format="svg", bbox_inches="tight", pad_inches=0.05, metadata=nothing)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text.getvalue())
    return re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
