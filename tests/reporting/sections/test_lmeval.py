"""lm-eval's tables: every error is named for what it holds, and doubts stand beside the numbers."""

from __future__ import annotations

import pytest

from harness.analyse.scores import records_of
from harness.reporting.section import Grid, Material
from harness.reporting.sections.lmeval import section


def grids(material: Material) -> dict[str, Grid]:
    found = section(material)
    assert found is not None
    return {grid.title: grid for grid in found.grids}


def cell(grid: Grid, arm: str, metric: str, column: str) -> str:
    (row,) = [row for row in grid.rows if row[:2] == (arm, metric)]
    return row[grid.columns.index(column)]


def test_a_table_a_task(with_scores) -> None:
    found = section(with_scores)
    assert found is not None
    assert [grid.title for grid in found.grids] == ["cloze", "blimp", "Before believing these numbers"]
    cloze = found.grids[0]
    assert cell(cloze, "gpt2", "acc", "score") == "0.3792"
    assert cell(cloze, "gpt2", "acc", "difference") == ""
    assert cell(cloze, "position=rope", "acc", "difference") == "+0.1000"
    assert cell(cloze, "position=rope", "acc", "95 % interval, seeds") == "[+0.1000, +0.1000]"
    both = cell(cloze, "position=rope", "acc", "95 % interval, seeds and items")
    assert both != "[+0.1000, +0.1000]", "items differ, seeds do not"
    assert cloze.note.startswith(
        "60 items in 20 clusters. acc: share of items, higher is better, guessing scores 0.250."
    )


def test_a_perplexity_is_a_ratio(with_scores) -> None:
    cloze = grids(with_scores)["cloze"]
    assert cell(cloze, "position=rope", "word_perplexity", "95 % interval, seeds and items").startswith(
        "ratio 0.9048 ["
    )
    assert "the interval over seeds and items is of the ratio to the baseline" in cloze.note


def test_what_is_at_chance_is_said_in_words(with_scores) -> None:
    note = grids(with_scores)["blimp"].note
    assert "acc is uninformative here: the interval of gpt2 over items includes guessing in 4 of 4 runs" in note


def test_lm_evals_own_number_where_it_differs_and_why(with_scores) -> None:
    found = section(with_scores)
    assert found is not None
    cloze, blimp, warned = found.grids
    assert cell(cloze, "gpt2", "acc", "lm-eval's own") == "0.4167"
    assert cell(cloze, "gpt2", "word_perplexity", "lm-eval's own") == "the same"
    assert "lm-eval's own" not in blimp.columns
    assert any("takes the first of equal or NaN likelihoods" in note for note in found.notes)
    assert warned.rows == [("cloze", "12 of 12", "3 of 60 items are ties and count one over the number of choices")]


def test_what_cannot_be_paired_is_not_available_and_says_why(troubled_scores) -> None:
    task = next(grid for title, grid in grids(troubled_scores).items() if title.startswith("<script>"))
    assert cell(task, "position=rope", "acc", "95 % interval, seeds and items") == "N/A"
    assert "scored on different items" in task.note or "different items of" in task.note
    assert cell(task, "norm=none", "acc", "score") == "N/A"
    assert cell(task, "norm=none", "acc", "lm-eval's own") == ""


def test_without_lm_eval_there_is_no_section(equivalent) -> None:
    assert section(equivalent) is None


@pytest.mark.parametrize("arm", ["gpt2", "position=rope"])
def test_the_standard_deviation_is_over_seeds_and_the_error_over_items(with_scores, arm: str) -> None:
    cloze = grids(with_scores)["cloze"]
    (one, *_) = [records[0] for records in records_of(with_scores.runs, arm, "lm-eval").values()]
    error = one.detail["tasks"]["cloze"]["metrics"]["acc"]["standard_error"]
    assert float(cell(cloze, arm, "acc", "standard error, items")) == pytest.approx(error, abs=5e-3)
    assert cell(cloze, arm, "acc", "standard deviation, seeds") == "0.0285"
