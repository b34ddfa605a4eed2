"""The tables of a report as files: the cells of the page, and LaTeX that no cell can break out of."""

from __future__ import annotations

import csv
import dataclasses
import re
from pathlib import Path

import pytest

from harness.reporting.page import page
from harness.reporting.section import Grid, Section
from harness.reporting.tables import escape, latex, named


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_every_table_of_the_page_is_a_csv_with_its_cells(with_scores, report_of) -> None:
    folder = report_of(with_scores) / "tables"
    tables = list(named(page(with_scores)))
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        f"{name}.{kind}" for name, _, _ in tables for kind in ("csv", "tex")
    )
    assert {"setup", "arms", "differences", "scores", "experts-balance", "every-seed"} <= {
        name for name, _, _ in tables
    }
    for name, _, grid in tables:
        assert rows(folder / f"{name}.csv") == [list(grid.columns), *map(list, grid.rows)]


def test_no_two_tables_share_a_file(shape) -> None:
    names = [name for name, _, _ in named(page(shape))]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z0-9-]+", name) for name in names)


def test_latex_is_booktabs_with_a_caption_and_a_label() -> None:
    grid = Grid(("arm", "loss", "reason"), [("norm=rms", "1.65\nΔ +0.01", "5 % & more"), ("[0, 1]", "n/a", "")], "A_b.")
    text = latex(grid, "Two: of them", "two-of-them")
    assert [line.strip() for line in text.splitlines()] == [
        r"\begin{table}",
        r"\caption{Two: of them. A\_b.}",
        r"\label{tab:two-of-them}",
        r"\begin{tabular}{lrp{0.35\textwidth}}",
        r"\toprule",
        r"arm & loss & reason \\",
        r"\midrule",
        r"norm=rms & \shortstack[r]{1.65 \\ $\Delta$ +0.01} & 5 \% \& more \\",
        r"{}[0, 1] & n/a &  \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


def test_special_characters_are_escaped() -> None:
    assert escape(r"a_b \x {y} $z$ #1 ~ ^ 5%&" + "\n<") == (
        r"a\_b \textbackslash{}x \{y\} \$z\$ \#1 \textasciitilde{} \textasciicircum{} 5\%\& \textless{}"
    )


def test_hostile_cells_stay_in_their_cells(hostile, report_of) -> None:
    for path in (report_of(hostile) / "tables").glob("*.tex"):
        text = path.read_text(encoding="utf-8")
        bare = re.sub(r"\\[\\{}$%&_#^~]", "", text)
        assert bare.count("{") == bare.count("}")
        assert "%" not in bare
        assert not re.search(r"\\(frac|input|write)", text)
        columns = len(rows(path.with_suffix(".csv"))[0])
        body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
        for line in body.splitlines()[1:]:
            assert len(re.findall(r"(?<!\\)&", line)) == columns - 1


@pytest.mark.parametrize("length", [1, 59, 60, 500])
def test_long_titles_are_cut(length: int, alone) -> None:

    twice = Section("x" * length, grids=(Grid(("a",), [("1",)]), Grid(("a",), [("1",)])))
    found = [name for name, _, _ in named(dataclasses.replace(page(alone), sections=[twice]))]
    assert found[1:] == ["x" * min(length, 60), f"{'x' * min(length, 60)}--2"]
