"""A reviewer's questions, answered from records whose answers are known."""

from __future__ import annotations

import dataclasses

from harness.analyse.comparison import compare
from harness.analyse.looks import compare_study
from harness.analyse.reviewer import answers, threats
from harness.records.calibration import CalibrationRecord
from harness.records.example import example_design_study, example_runs, example_study
from harness.records.record import StudyRecord, StudyRun

BASE = [1.65, 1.66, 1.64, 1.65]


def words(study: StudyRecord, runs: list[StudyRun], calibration: CalibrationRecord | None = None) -> dict[str, str]:
    found = answers(study, runs, compare_study(study, runs), calibration, None)
    return {one.question.split("?")[0].split(" ")[0].strip(",.") + f" {i}": one.word for i, one in enumerate(found)}


def calibrated(wrong: int, found: bool) -> CalibrationRecord:
    low = 0.02 if wrong < 20 else 0.12
    errs = {"wrong": wrong, "studies": 100, "pairs": 4, "disjoint_wilson95": (low, 0.4)}
    return CalibrationRecord("k", {}, [], "2026-11-02", [], {"reason": ""}, {"found": found}, 25.0, pipeline=errs)


def test_every_answer_follows_its_records() -> None:
    study = example_design_study("norm=rms,dyt", kinds=["add-one"])
    runs = example_runs({arm.name: [v + 0.001 * i for v in BASE] for i, arm in enumerate(study.arms)})
    assert list(words(study, runs).values()) == ["yes", "not known", "yes", "yes", "not tuned", "no", "yes"]
    two = compare(study, runs)
    assert "shared by 2 comparisons" in answers(study, runs, two, None, None)[5].told
    assert list(words(study, runs, calibrated(5, True)).values())[1] == "yes"
    assert list(words(study, runs, calibrated(5, False)).values())[1] == "no"
    assert list(words(study, runs, calibrated(30, True)).values())[1] == "no"


def test_broken_runs_and_other_texts_are_seen() -> None:
    study = example_study()
    runs = example_runs({"gpt2": BASE, "norm=rms": [1.65, None, 1.64, 1.65]})
    asked = answers(study, runs, compare_study(study, runs), None, None)
    assert (asked[0].word, asked[2].word, asked[5].word) == ("no", "no", "yes")
    assert asked[2].told == "1 run did not, of norm=rms."
    longer = [*runs[0].record.documents, [10.0, 5, 5]]
    runs[0] = dataclasses.replace(runs[0], record=dataclasses.replace(runs[0].record, documents=longer))
    assert answers(study, runs, [], None, None)[3].word == "no"


def test_a_screen_has_fresh_seeds() -> None:
    study = example_design_study("norm=rms,dyt", kinds=["add-one"], screen=2, seeds=range(4))
    assert answers(study, [], [], None, None)[5].word == "yes"


def test_threats_have_the_studys_numbers() -> None:
    study = example_study()
    study = dataclasses.replace(study, data={**study.data, "train_tokens": 795_000})
    told = " ".join(threats(study))
    assert "One text (made up), one tokenizer (bytes)" in told
    assert "gpt2 read 15.9 tokens a parameter" in told
    assert "2 times its training text: text was repeated" in told
