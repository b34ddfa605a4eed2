"""An index over the studies of a folder, and the report of two of them, through the command."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.records.example import example_runs, example_study
from harness.records.study import write_study
from harness.report import main
from harness.reporting.index import report_folders
from tests.reporting.test_html import Elements

BASE = [1.650, 1.655, 1.648, 1.652]
RMS = [1.651, 1.654, 1.650, 1.6505]


def study(folder: Path, seeds: tuple[int, ...] = (0, 1, 2, 3), shift: float = 0.0) -> Path:
    runs = example_runs({"gpt2": BASE, "norm=rms": [value + shift for value in RMS]})
    write_study(folder, example_study(seeds=seeds), [run for run in runs if run.seed in seeds])
    return folder


def test_the_index_lists_and_links_every_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study(tmp_path / "first & <b>")
    study(tmp_path / "examples" / "second")
    study(tmp_path / "examples" / "second" / "tuned")
    study(tmp_path / "store" / "no")
    assert main([str(tmp_path / "examples" / "second")]) == 0
    capsys.readouterr()
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"2 reports: {tmp_path / 'index.html'}\n"
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    page = Elements(text)
    assert [attributes["href"] for tag, attributes in page.elements if tag == "a"] == ["examples/second/report.html"]
    assert "first &amp; &lt;b&gt;" in text
    assert text.count("<td>norm=rms is EQUIVALENT to gpt2</td>") == 2
    assert text.count("<td>8 runs\n2 arms</td>") == 2
    assert text.count("<td>1 equivalent</td>") == 2
    assert "1 row without a link" in text


def test_what_lies_in_a_study_or_the_store_is_not_listed(tmp_path: Path) -> None:
    for place in ("a", "a/regimes", "store/x", ".hidden/x", "far/away/b", "too/far/away/c"):
        study(tmp_path / place)
    found = [path.relative_to(tmp_path).as_posix() for path in report_folders(tmp_path)]
    assert found == ["a", "far/away/b"]


def test_a_damaged_study_is_a_row_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study(tmp_path / "whole")
    path = study(tmp_path / "cut") / "runs.jsonl"
    path.write_bytes(path.read_bytes()[:-100])
    assert main([str(tmp_path)]) == 0
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<td>not readable</td>" in text
    assert "is not readable JSON" in text


def test_two_studies_of_other_seeds_are_not_paired(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = study(tmp_path / "a"), study(tmp_path / "b", seeds=(0, 1, 2), shift=0.05)
    assert main([str(a), str(b)]) == 0
    report = tmp_path / "compared" / "a--b" / "report.html"
    said = "norm=rms against gpt2: equivalent in A, worse in B; how much more it changes in B leaves out zero"
    assert capsys.readouterr().out == f"{said}\nreport: {report}\n"
    text = report.with_name("report.md").read_text(encoding="utf-8")
    assert "The seeds differ, so runs do not pair off: unpaired, Welch's t-test." in text
    assert "| seeds | 0, 1, 2 and 3 | 0, 1 and 2 |" in text
    assert Elements(report.read_text(encoding="utf-8")).open == []
    assert (report.with_name("forest.svg")).exists()


def test_a_study_and_itself_differ_in_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = study(tmp_path / "a")
    assert main([str(a), str(a)]) == 0
    text = (tmp_path / "compared" / "a--a" / "report.md").read_text(encoding="utf-8")
    assert "Nothing that was recorded." in text
    assert "the same runs" in text


def test_three_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["a", "b", "c"]) == 2
    assert capsys.readouterr().err.startswith("error: two studies are compared, got 3; ")
