"""Large studies: what is drawn stays bounded and says what it leaves out; an arm more costs no pass over all runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import pytest

from harness.analyse.comparison import compare
from harness.analyse.curves import MOST_ARMS, MOST_LINES, curves
from harness.analyse.forest import MOST_ROWS, forest
from harness.records.example import example_runs, example_study
from harness.records.record import StudyRun
from harness.reporting.page import page
from harness.reporting.section import Material


def material(num_arms: int, num_seeds: int = 2) -> Material:
    arms = ["gpt2", *(f"norm=rms norm.eps={i}" for i in range(num_arms - 1))]
    values = {arm: [1.65 + 0.001 * (i % 7) + 0.01 * s for s in range(num_seeds)] for i, arm in enumerate(arms)}
    study, runs = example_study(arms, range(num_seeds)), example_runs(values)
    return Material(study, runs, compare(study, runs))


def test_a_forest_of_many_arms_shows_the_worst_and_the_best_and_counts_the_rest() -> None:
    few = forest(material(MOST_ROWS + 1).comparisons)
    assert few is not None
    assert (len(few.rows), few.left_out) == (MOST_ROWS, 0)
    found = material(MOST_ROWS + 31).comparisons
    many = forest(found)
    assert many is not None
    assert (len(many.rows), many.left_out) == (MOST_ROWS, 30)
    means = [row.mean for row in many.rows]
    every = [c.mean_difference for c in found]
    assert max(every) in means  # pyright: ignore[reportArgumentType]
    assert min(every) in means  # pyright: ignore[reportArgumentType]


def test_curves_are_drawn_of_some_arms_and_of_some_runs_that_did_not_finish() -> None:
    many = material(MOST_ARMS + 5, 20)
    drawn = curves(many.study, many.runs)
    assert len(drawn) == MOST_ARMS
    few = material(2, 20)
    assert drawn[0].mean == curves(few.study, few.runs)[0].mean, "the mean is of all runs"
    broken = [dataclasses.replace(run.record, status="diverged") for run in many.runs]
    runs = [dataclasses.replace(run, record=record) for run, record in zip(many.runs, broken, strict=True)]
    assert sum(len(curve.unfinished) for curve in curves(many.study, runs)) == MOST_LINES


def test_the_page_says_what_its_figures_leave_out() -> None:
    shown = page(material(MOST_ROWS + 31))
    captions = " ".join(drawing.caption for drawing in shown.drawings)
    assert "the 30 arms between them are in the table" in captions
    assert f"the first {MOST_ARMS} arms." in captions
    assert "in the table" not in " ".join(drawing.caption for drawing in page(material(3)).drawings)


class Passes(Sequence[StudyRun]):
    """Runs that count how often somebody goes through all of them."""

    def __init__(self, runs: Sequence[StudyRun]) -> None:
        self.runs, self.passes = runs, 0

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, index):
        return self.runs[index]

    def __iter__(self) -> Iterator[StudyRun]:
        self.passes += 1
        return iter(self.runs)


@pytest.mark.parametrize("num_seeds", [1, 2])
def test_an_arm_more_costs_no_pass_over_all_runs(num_seeds: int) -> None:
    """Or 1,250 arms of 8 seeds would be 12 million looks at a run for every table."""
    passes = []
    for num_arms in (3, 9):
        made = material(num_arms, num_seeds)
        runs = Passes(made.runs)
        page(Material(made.study, runs, compare(made.study, runs)))  # pyright: ignore[reportArgumentType]
        passes.append(runs.passes)
    assert passes[0] == passes[1] > 0
