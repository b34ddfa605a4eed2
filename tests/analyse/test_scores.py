"""Whatever a run scored can be named, read and compared; what is not there says why."""

from __future__ import annotations

import dataclasses

import pytest
from scipy import stats

from harness.analyse.comparison import compare
from harness.analyse.scores import SCORES, Absence, absences, records_of, score_named, scores_of
from harness.records.example import example_run, example_runs, example_study
from harness.records.example_scores import example_score, lm_eval_score, position_score, scored
from harness.records.record import StudyRun
from harness.records.score import Direction, ScoreRecord, Value
from variants.errors import UserError

BASE = [1.650, 1.655, 1.648, 1.652]
RUNS = example_runs({"gpt2": BASE, "norm=rms": [b - 0.01 for b in BASE]})
ACCURACY = {"gpt2": [0.41, 0.43, 0.40, 0.44], "norm=rms": [0.46, 0.47, 0.47, 0.49]}


def value(
    number: float | None,
    name: str = "task/acc",
    title: str = "task acc",
    unit: str = "share",
    direction: Direction = "higher",
    reason: str = "",
) -> Value:
    return Value(name, title, number, unit, direction, reason=reason)


def accuracies(run: StudyRun) -> list[ScoreRecord]:
    return [example_score(run, "lm-eval", [value(ACCURACY[run.arm][run.seed])])]


def test_the_losses_come_first_and_then_what_was_found() -> None:
    runs = scored(RUNS, lambda run: [position_score(run), lm_eval_score(run, 0.3)])
    found = scores_of(runs)
    assert list(found) == [*SCORES, "late_context_loss", "cloze/acc", "cloze/word_perplexity"]
    acc = found["cloze/acc"]
    assert (acc.title, acc.unit, acc.direction, acc.chance) == ("cloze acc", "share of items", "higher", 0.25)
    assert acc.margin_scale is None
    assert found["cloze/word_perplexity"].chance is None
    assert scores_of([]) == SCORES


@pytest.mark.parametrize(
    ("numbers", "decimals"),
    [
        ([0.5], 4),
        ([1.65], 4),
        ([12.0, 1.0], 3),
        ([123.4], 2),
        ([4.5e6], 0),
        ([0.004, -0.002], 6),
        ([None], 4),
        ([0.0], 4),
    ],
)
def test_decimals_follow_the_largest_value(numbers: list[float | None], decimals: int) -> None:
    run = example_run("gpt2", 0, 1.65)
    runs = [dataclasses.replace(run, scores=(example_score(run, "x", [value(n)]),)) for n in numbers]
    assert scores_of(runs)["task/acc"].decimals == decimals


def test_one_name_has_one_unit_and_one_direction() -> None:
    run = example_run("gpt2", 0, 1.65)
    for other in (value(0.5, unit="nats"), value(0.5, direction="lower")):
        scores = (example_score(run, "x", [value(0.4)]), example_score(run, "x", [other]))
        with pytest.raises(UserError, match="score the runs again"):
            scores_of([dataclasses.replace(run, scores=scores)])


def test_a_value_is_compared_like_a_loss_and_has_no_equivalence() -> None:
    (c,) = compare(example_study(), scored(RUNS, accuracies), "task/acc")
    reference = stats.ttest_rel(ACCURACY["norm=rms"], ACCURACY["gpt2"])
    assert (c.score, c.unit, c.direction, c.num_seeds) == ("task/acc", "share", "higher", 4)
    assert c.mean_difference == pytest.approx(0.0525)
    assert c.ci95 == pytest.approx(tuple(reference.confidence_interval()))
    assert (c.margin, c.p_equivalence, c.verdict) == (None, None, "better")
    assert (c.probability_better or 0) > 0.95
    with pytest.raises(UserError, match="did you mean 'task/acc'"):
        compare(example_study(), scored(RUNS, accuracies), "tsk/acc")
    with pytest.raises(UserError, match="unknown score 'task/acc'"):
        score_named("task/acc")


def test_a_value_of_some_seeds_is_compared_on_those_and_gets_no_word() -> None:
    runs = scored(RUNS, lambda run: accuracies(run) if run.arm == "gpt2" or run.seed > 0 else [])
    (c,) = compare(example_study(), runs, "task/acc")
    assert (c.num_seeds, c.verdict) == (3, "inconclusive")
    assert c.reason.startswith("norm=rms finished without this score on seed 0")


def test_every_reason_is_said_once() -> None:
    def troubled(run: StudyRun) -> list[ScoreRecord]:
        undefined = [value(None, name="a", title="growth at 2x", reason="no such positions"), value(0.5)]
        more = [value(None, name="b", title="growth at 4x", reason="no such positions"), value(float("nan"), name="c")]
        failed = example_score(run, "lm-eval", reason="no such file")
        task = dataclasses.replace(failed, identity={"options": {"task": "piqa"}})
        return [example_score(run, "extrapolation", [*undefined, *more]), task]

    both = ("gpt2", "norm=rms")
    assert absences(scored(RUNS, troubled)) == [
        Absence("no such positions", ("growth at 2x", "growth at 4x"), both),
        Absence("not a number", ("task acc",), both),
        Absence("failed: no such file", ("lm-eval piqa",), both),
    ]
    assert [a.titles for a in absences(scored(RUNS, troubled), ["lm-eval"])] == [("lm-eval piqa",)]
    assert absences(scored(RUNS, accuracies)) == []


def test_records_are_those_that_finished_of_runs_that_finished() -> None:
    runs = scored(example_runs({"gpt2": [1.6, None, 1.7]}), lambda run: [position_score(run), lm_eval_score(run, 0.3)])
    assert list(records_of(runs, "gpt2", "position")) == [0, 2]
    assert [len(records) for records in records_of(runs, "gpt2", "lm-eval").values()] == [1, 1]
    failed = scored(RUNS, lambda run: [example_score(run, "position", reason="no")])
    assert records_of(failed, "gpt2", "position") == {}
    assert records_of(runs, "norm=rms", "position") == {}
