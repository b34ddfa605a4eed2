"""Every table of a report as CSV and LaTeX, for a spreadsheet and a paper: the cells are those of the page.

FOLDER/tables/NAME.csv and NAME.tex. The LaTeX needs the package booktabs, and a name beyond Latin and the signs below
needs XeLaTeX or LuaLaTeX. Compiled with pdfTeX of TeX Live 2022: tests/reporting/test_tables.py does it where it is
installed.
Numbers that are not yet text: `harness.load_study`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from unicodedata import lookup

import pandas as pd

from harness.records.atomic import StoreError, write_text
from harness.reporting.page import Page
from harness.reporting.section import Grid

FOLDER = "tables"

MOST_LETTERS = 60
"""Of a file's name. Assumption: what a shell shows in one line."""

TEXT = r"p{0.35\textwidth}"
"""A column of sentences."""

_NEW_LINE = r" \\ "

_SPECIAL = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\symbol{34}",
    "`": r"\textasciigrave{}",
    "Δ": r"$\Delta$",
    "\N{MINUS SIGN}": "$-$",
    "\N{EN DASH}": "--",
    "\N{EM DASH}": "---",
    "≥": r"$\geq$",
    "≈": r"$\approx$",
    "≠": r"$\neq$",
    "∞": r"$\infty$",
    "√": r"$\surd$",
    "±": r"$\pm$",
    "→": r"$\rightarrow$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "·": r"$\cdot$",
    "≤": r"$\leq$",
    "…": r"\ldots{}",
    **{lookup(f"GREEK SMALL LETTER {name}"): rf"$\{name}$" for name in ("alpha", "beta", "gamma", "delta", "sigma")},
}

_WRITTEN = str.maketrans({**_SPECIAL, "\0": "{}"})

_LIGATURE = re.compile(r"(?<=-)-|(?<=')'")
"""What TeX would draw as one sign."""


def write_tables(folder: Path, page: Page) -> None:
    """Write the setup and every table, and take away those that an earlier state of the report had.

    Raises:
        StoreError: the disk refuses.
    """
    tables = folder / FOLDER
    names = set()
    for name, title, grid in named(page):
        names.add(name)
        write_text(tables / f"{name}.csv", frame(grid).to_csv(index=False, lineterminator="\n"))
        write_text(tables / f"{name}.tex", latex(grid, title, name))
    for path in tables.glob("*.tex"):
        if path.stem not in names and _label(path.stem) in path.read_text(encoding="utf-8", errors="replace"):
            _remove(path)
            _remove(path.with_suffix(".csv"))


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot remove {path}, a table of an earlier report: {error.strerror or error}") from error


def _label(name: str) -> str:
    """What tells a table of ours from a file that somebody else put there."""
    return rf"\label{{tab:{name}}}"


def named(page: Page) -> Iterator[tuple[str, str, Grid]]:
    """(name, title, table) in the order of the page; no two names are alike, also where a disk ignores case."""
    setup = Grid(("what", "value"), [(what, value) for what, value in page.setup])
    tables = [("Setup", setup)] + [
        (f"{section.title}: {grid.title}" if grid.title else section.title, grid)
        for section in page.sections
        for grid in section.grids
    ]
    seen: dict[str, int] = {}
    for title, grid in tables:
        name = re.sub(r"[^a-z0-9]+", "-", title.lower())[:MOST_LETTERS].strip("-") or "table"
        seen[name] = seen.get(name, 0) + 1
        yield name if seen[name] == 1 else f"{name}--{seen[name]}", title, grid


def frame(grid: Grid) -> pd.DataFrame:
    """The table as text; a head may occur twice."""
    return pd.DataFrame(grid.rows, columns=list(grid.columns), dtype=str)


def latex(grid: Grid, title: str, name: str) -> str:
    """The table as a LaTeX float with booktabs rules, titled, labelled `tab:NAME`, its note in the caption."""
    caption = escape(f"{title.rstrip('.')}. {grid.note}".strip())
    last = TEXT if grid.ends_in_words else "r"
    columns = f"l{'r' * (len(grid.columns) - 2)}{last}"
    lines = [
        r"\begin{table}",
        rf"\caption{{{caption}}}",
        _label(name),
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _line(grid.columns),
        r"\midrule",
        *(_line(row) for row in grid.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(_cell, cells)) + r" \\"


def escape(text: str) -> str:
    """Text that LaTeX shows as it is."""
    apart = _LIGATURE.sub(lambda sign: f"\0{sign.group()}", " ".join(text.split()))
    return apart.translate(_WRITTEN)


def _cell(text: str) -> str:
    """A cell; its lines stand on one another. A bracket or star after a line's end would be an argument of it."""
    lines = [re.sub(r"^(?=[\[*])", "{}", escape(line)) for line in text.split("\n")]
    return lines[0] if len(lines) == 1 else rf"\shortstack[r]{{{_NEW_LINE.join(lines)}}}"
