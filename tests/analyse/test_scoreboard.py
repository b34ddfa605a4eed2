"""One row an arm, in one order, with every score's level and difference."""

from __future__ import annotations

import pytest
from scipy import stats

from harness.analyse.comparison import compare
from harness.analyse.scoreboard import arm_order, score_rows
from harness.analyse.scores import scores_of
from harness.records.example import example_runs, example_study
from harness.records.example_scores import position_score, scored

BASE = [1.650, 1.655, 1.648, 1.652]
VALUES = {"gpt2": BASE, "good": [1.60, 1.61, 1.60, 1.60], "bad": [1.70, 1.72, 1.70, 1.71], "gone": [None] * 4}
STUDY = example_study(tuple(VALUES))
RUNS = scored(example_runs(VALUES), lambda run: [position_score(run, 0.1 * (run.arm == "good"))] * (run.seed > 0))


def test_rows_are_those_of_the_arms_worst_first() -> None:
    comparisons = compare(STUDY, RUNS)
    rows = score_rows(STUDY, RUNS, comparisons, list(scores_of(RUNS).values()))
    assert [row.arm for row in rows] == arm_order(STUDY, comparisons) == ["gpt2", "gone", "bad", "good"]
    assert [row.num_finished for row in rows] == [4, 0, 4, 4]
    assert set(rows[0].cells) == set(scores_of(RUNS))


def test_cells_hold_levels_over_all_seeds_and_paired_differences() -> None:
    gpt2, gone, _, good = score_rows(STUDY, RUNS, compare(STUDY, RUNS), list(scores_of(RUNS).values()))
    loss = good.cells["nats_per_byte"]
    assert loss.level is not None
    assert loss.level.ci95 == pytest.approx(tuple(stats.ttest_1samp(VALUES["good"], 0.0).confidence_interval()))
    assert loss.comparison is not None
    assert loss.comparison.ci95 == pytest.approx(tuple(stats.ttest_rel(VALUES["good"], BASE).confidence_interval()))
    late = good.cells["late_context_loss"]
    assert late.level is not None
    assert late.level.n == 3
    assert late.comparison is not None
    assert late.comparison.mean_difference == pytest.approx(0.1)
    assert gpt2.cells["nats_per_byte"].comparison is None
    assert gone.cells["late_context_loss"].level is None
