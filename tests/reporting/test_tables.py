"""The tables of a report as files: the cells of the page, and LaTeX that no cell can break out of."""

from __future__ import annotations

import csv
import dataclasses
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.reporting.page import page
from harness.reporting.section import Grid, Section
from harness.reporting.tables import escape, latex, named, write_tables
from tests.reporting.conftest import BASE, everything, made, moved

ODD = (
    "norm=a_b & c%",
    r"x#1^2~y\z",
    "lr \N{MINUS SIGN} 0.1 +- ±",
    "{curly} $math$ [b] *star",
    "quote ' '' ` `` \" - -- ---",
    "<a|b> ≤≥≈\N{MULTIPLICATION SIGN}·→…",
    "\N{GREEK SMALL LETTER ALPHA}=0.5 café \N{EN DASH} —",
    r"100%\\ \input{x} \end{tabular}",
    "new\nline\ttab",
)
"""Names that TeX would take for something else."""

RULES = (r"\toprule", r"\midrule", r"\bottomrule")


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


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of a study whose arms are ODD."""
    folder = tmp_path_factory.mktemp("odd")
    values = {"gpt2": BASE, **{name: moved(0.001 * i, 0.002, -0.001, 0.003) for i, name in enumerate(ODD)}}
    write_tables(folder, page(made(values, score=everything)))
    return folder / "tables"


def test_odd_names_leave_every_row_its_columns(odd: Path) -> None:
    for path in odd.glob("*.tex"):
        text = path.read_text(encoding="utf-8")
        assert max(map(ord, text)) < 256, "what inputenc knows without a package"
        bare = re.sub(r"\\[{}$%&_#]", "", text.replace(r"\\", "\n"))
        assert bare.count("{") == bare.count("}")
        assert bare.count("$") % 2 == 0
        assert not set(bare) & set("%#^~`"), path.name
        assert "_" not in re.sub(r"\$[^$]*\$", "", bare)
        commands = set(re.findall(r"\\([A-Za-z]+)", text))
        assert not commands & {"input", "frac", "def"}
        found = re.search(r"\\begin{tabular}{(.*?)}\n(.*)\\end{tabular}", text, re.DOTALL)
        assert found is not None
        columns, body = found.groups()
        width = len(re.findall(r"[lr]|p{[^}]*}}?", columns.replace(r"\textwidth", "")))
        lines = [line for line in body.splitlines() if line not in RULES]
        assert len(lines) == len(rows(path.with_suffix(".csv")))
        for line in lines:
            assert line.endswith(r" \\")
            assert len(re.findall(r"(?<!\\)&", line)) == width - 1 == len(rows(path.with_suffix(".csv"))[0]) - 1


def test_odd_names_compile(odd: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not on PATH (Debian's texlive-latex-base and texlive-latex-recommended)")
    inputs = "\\clearpage".join(rf"\input{{tables/{path.stem}}}" for path in sorted(odd.glob("*.tex")))
    head = r"\documentclass{article}\usepackage{booktabs}\begin{document}"
    (odd.parent / "main.tex").write_text(f"{head}{inputs}\\end{{document}}", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "main.tex"]
    ended = subprocess.run(
        command, cwd=odd.parent, capture_output=True, text=True, errors="replace", timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stdout[-2000:]


@pytest.mark.parametrize("length", [1, 59, 60, 500])
def test_long_titles_are_cut(length: int, alone) -> None:

    twice = Section("x" * length, grids=(Grid(("a",), [("1",)]), Grid(("a",), [("1",)])))
    found = [name for name, _, _ in named(dataclasses.replace(page(alone), sections=[twice]))]
    assert found[1:] == ["x" * min(length, 60), f"{'x' * min(length, 60)}--2"]


def test_a_table_that_the_report_no_longer_has_goes_and_a_file_of_another_stays(tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    write_tables(tmp_path, page(made({"gpt2": BASE, "norm=rms": BASE}, score=everything)))
    before = {path.name for path in tables.iterdir()}
    (tables / "mine.tex").write_text("a note")
    (tables / "mine.csv").write_text("1,2")
    write_tables(tmp_path, page(made({"gpt2": BASE, "norm=rms": BASE})))
    after = {path.name for path in tables.iterdir()}
    assert {"mine.tex", "mine.csv"} < after
    assert after - {"mine.tex", "mine.csv"} < before
    names = {name for name, _, _ in named(page(made({"gpt2": BASE, "norm=rms": BASE})))}
    assert {path.stem for path in tables.iterdir()} == names | {"mine"}
