"""lm-eval's tasks over seeds: which lines, which errors, what is uninformative, and every warning once."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from harness.analyse.items import compare_items
from harness.analyse.lmeval import TaskRow, TaskTable, Warned, task_tables, uninformative, warnings
from harness.records.example import example_runs, example_study
from harness.records.example_scores import lm_eval_score, scored
from harness.records.record import StudyRun
from harness.records.score import ScoreRecord

BASE = [1.650, 1.655, 1.648, 1.652]
ARMS = ("gpt2", "norm=rms")
STUDY = example_study(ARMS)
RUNS = example_runs({"gpt2": BASE, "norm=rms": BASE})


def accuracy(run: StudyRun) -> float:
    return 0.4 if run.arm == "gpt2" else 0.55


def tables(runs: list[StudyRun]) -> list[TaskTable]:
    return task_tables(STUDY, runs, ARMS)


def row(table: TaskTable, arm: str, metric: str) -> TaskRow:
    return next(row for row in table.rows if (row.arm, row.metric) == (arm, metric))


def changed(run: StudyRun, change: Any) -> ScoreRecord:
    """The cloze of a run with its detail changed in place by `change`."""
    score = lm_eval_score(run, accuracy(run))
    detail = copy.deepcopy(score.detail)
    change(detail, run)
    return dataclasses.replace(score, detail=detail)


def test_a_table_a_task_with_a_row_a_metric_and_arm() -> None:
    runs = scored(RUNS, lambda run: [lm_eval_score(run, 0.4), lm_eval_score(run, 0.4, task="piqa", num_items=30)])
    cloze, piqa = tables(runs)
    assert (cloze.task, cloze.num_items, cloze.num_clusters) == ("cloze", 60, 20)
    assert (piqa.task, piqa.num_items, piqa.num_clusters) == ("piqa", 30, 30), "10 clusters are too few to be counted"
    assert [(r.metric, r.arm) for r in cloze.rows] == [(m, a) for m in ("acc", "word_perplexity") for a in ARMS]
    assert tables(RUNS) == []


def test_the_level_its_error_over_items_and_its_spread_over_seeds() -> None:
    (cloze,) = tables(scored(RUNS, lambda run: [lm_eval_score(run, accuracy(run))]))
    shares = [round((0.4 + 0.02 * seed) * 60) / 60 for seed in range(4)]
    errors = [math.sqrt(p * (1 - p) / 59) for p in shares]
    base = row(cloze, "gpt2", "acc")
    assert base.spread is not None
    assert base.spread.mean == pytest.approx(np.mean(shares))
    assert base.spread.sd == pytest.approx(np.std(shares, ddof=1))
    assert base.item_error == pytest.approx(math.sqrt(np.mean(np.square(errors))))
    assert (base.seeds, base.items, base.reason) == (None, None, "")


def test_the_difference_counts_seeds_and_items() -> None:
    runs = scored(RUNS, lambda run: [lm_eval_score(run, accuracy(run))])
    (cloze,) = tables(runs)
    details = {arm: [run.scores[0].detail for run in runs if run.arm == arm] for arm in ARMS}
    arm = row(cloze, "norm=rms", "acc")
    assert arm.items == compare_items(details["gpt2"], details["norm=rms"], "cloze", "acc")
    assert arm.items is not None
    assert arm.seeds is not None
    assert arm.items.mean == pytest.approx(arm.seeds.mean_difference)
    assert arm.items.ci95 is not None
    assert arm.seeds.ci95 is not None
    assert arm.items.ci95[1] - arm.items.ci95[0] > arm.seeds.ci95[1] - arm.seeds.ci95[0]


def test_a_perplexity_is_compared_by_its_logarithm() -> None:
    (cloze,) = tables(scored(RUNS, lambda run: [lm_eval_score(run, accuracy(run))]))
    facts = {m.name: m for m in cloze.metrics}
    assert facts["word_perplexity"].is_logarithm
    assert not facts["acc"].is_logarithm
    arm = row(cloze, "norm=rms", "word_perplexity")
    assert arm.items is not None
    assert arm.items.mean == pytest.approx(-0.15), "of nats a word"


def test_what_guessing_reaches_is_uninformative() -> None:
    at_chance = scored(RUNS, lambda run: [lm_eval_score(run, 0.25 if run.arm == "gpt2" else 0.9)])
    (cloze,) = tables(at_chance)
    acc = cloze.metrics[0]
    assert (acc.name, acc.chance, acc.num_baseline) == ("acc", 0.25, 4)
    assert acc.at_chance == 4, "0.25 to 0.31 of 60 items, with a standard error of 0.06"
    assert uninformative(STUDY, at_chance) == {"cloze/acc"}
    above = scored(RUNS, lambda run: [lm_eval_score(run, 0.9 if run.arm == "gpt2" else 0.25)])
    assert tables(above)[0].metrics[0].at_chance == 0
    assert uninformative(STUDY, above) == frozenset(), "the baseline decides, before the arms are looked at"


def test_lm_evals_own_number_is_kept_only_where_it_differs() -> None:
    (ties,) = tables(scored(RUNS, lambda run: [lm_eval_score(run, 0.4, num_ties=4 if run.seed == 1 else 0)]))
    base = row(ties, "gpt2", "acc")
    assert base.spread is not None
    assert base.own == pytest.approx(base.spread.mean + 0.75 * 4 / 60 / 4)
    assert row(ties, "gpt2", "word_perplexity").own is None
    (same,) = tables(scored(RUNS, lambda run: [lm_eval_score(run, 0.4)]))
    assert row(same, "gpt2", "acc").own is None


def test_a_warning_is_said_once_with_how_many_runs_gave_it() -> None:
    runs = scored(RUNS, lambda run: [lm_eval_score(run, 0.4, num_ties=run.seed), lm_eval_score(run, 0.4, task="piqa")])
    assert warnings(runs) == [
        Warned("cloze", "1 to 3 of 60 items are ties and count one over the number of choices", 6, 8)
    ]

    def other(detail: dict[str, Any], run: StudyRun) -> None:
        detail["warnings"] = ["the tokenizer is not the task's"]

    assert warnings(scored(RUNS, lambda run: [changed(run, other)])) == [
        Warned("lm-eval", "the tokenizer is not the task's", 8, 8)
    ]
    assert warnings(RUNS) == []


def test_a_group_is_one_line_and_its_tasks_are_its_clusters() -> None:
    def grouped(run: StudyRun) -> list[ScoreRecord]:
        parts = [lm_eval_score(run, 0.4 + 0.01 * i, task=f"blimp_{i}") for i in range(25)]
        tasks = {f"blimp_{i}": part.detail["tasks"][f"blimp_{i}"] for i, part in enumerate(parts)}
        acc = parts[12].detail["tasks"]["blimp_12"]["metrics"]["acc"]
        groups = {"blimp": {"group": "blimp", "tasks": list(tasks), "metrics": {"acc": acc}}}
        value = dataclasses.replace(parts[12].values[0], name="blimp/acc")
        return [
            dataclasses.replace(parts[0], values=[value], detail={**parts[0].detail, "tasks": tasks, "groups": groups})
        ]

    (blimp,) = tables(scored(RUNS, grouped))
    assert (blimp.task, blimp.num_items, blimp.num_clusters) == ("blimp", 25 * 60, 25)
    assert [(r.metric, r.arm) for r in blimp.rows] == [("acc", arm) for arm in ARMS]
    items = row(blimp, "norm=rms", "acc").items
    assert items is not None
    assert (items.mean, items.num_clusters) == (0.0, 25)


def test_what_cannot_be_paired_says_why() -> None:
    def shorter(run: StudyRun) -> list[ScoreRecord]:
        return [lm_eval_score(run, 0.4, num_items=60 if run.arm == "gpt2" else 30)]

    (cloze,) = tables(scored(RUNS, shorter))
    assert row(cloze, "norm=rms", "acc").items is None
    assert "different items" in row(cloze, "norm=rms", "acc").reason

    (alone,) = tables(scored(RUNS, lambda run: [lm_eval_score(run, 0.4)] * (run.arm != "gpt2")))
    assert row(alone, "norm=rms", "acc").reason == "no seed of cloze was scored for both arms"
    assert row(alone, "gpt2", "acc").spread is None

    def no_items(detail: dict[str, Any], run: StudyRun) -> None:
        del detail["tasks"]["cloze"]["items"]["values"]["acc"]

    (whole,) = tables(scored(RUNS, lambda run: [changed(run, no_items)]))
    assert "nothing pairs item by item" in row(whole, "norm=rms", "acc").reason
    assert row(whole, "norm=rms", "acc").seeds is not None, "the interval over seeds is there all the same"
    assert row(whole, "norm=rms", "word_perplexity").items is not None
