"""Numbers with their intervals as the text of a cell."""

from __future__ import annotations

import pytest

from harness.analyse.comparison import compare
from harness.analyse.levels import Level
from harness.analyse.scores import Absence
from harness.records.example import example_runs, example_study
from harness.reporting.cells import absence_rows, between, difference_line, level_text, lines, names


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (between((-0.1, 0.25), 2), "[-0.10, 0.25]"),
        (between(None), "no interval"),
        (level_text(None), "N/A"),
        (level_text(Level(1.65, (1.6, 1.7), 4), 2), "1.65 [1.60, 1.70]"),
        (level_text(Level(1.65, (1.6, 1.7), 4), 2, 4), "1.65 [1.60, 1.70]"),
        (level_text(Level(1.65, (1.6, 1.7), 3), 2, 4), "1.65 [1.60, 1.70] (3 of 4 seeds)"),
        (level_text(Level(1.65, None, 1), 2, 1), "1.65 no interval"),
        (lines("a", "", "b"), "a\nb"),
        (lines("", ""), ""),
        (names(["a"]), "a"),
        (names(["a", "b", "c", "d", "e"]), "a, b, c, d and e"),
        (names([*"abcdef"]), "a, b, c, d and 2 other arms"),
    ],
)
def test_cells(shown: str, expected: str) -> None:
    assert shown == expected


def test_a_difference_carries_its_sign() -> None:
    runs = example_runs({"gpt2": [1.65, 1.66], "norm=rms": [1.66, 1.67]})
    (c,) = compare(example_study(seeds=(0, 1)), runs)
    assert difference_line(c, 2) == "Δ +0.01 [+0.01, +0.01]"
    assert difference_line(None) == ""
    (nothing,) = compare(example_study(seeds=(0, 1)), [])
    assert difference_line(nothing) == ""


def test_absences() -> None:
    rows = absence_rows([Absence("no such positions", ("growth at 2x", "growth at 4x"), ("gpt2",))])
    assert rows == [("growth at 2x and growth at 4x", "gpt2: no such positions")]
