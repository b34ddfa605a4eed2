"""Every way in which a study may have gone another way than registered is told, and nothing else."""

from __future__ import annotations

import dataclasses

from harness.analyse.deviations import deviations
from harness.records.example import example_design_study, example_runs, example_study
from harness.records.record import StudyRun
from harness.records.registration import digest_of, register
from harness.records.score import ScoreRecord

VALUES = {"gpt2": [1.6, 1.7, 1.6, 1.65], "norm=rms": [1.6, 1.7, 1.6, 1.65]}
STUDY = example_study()
STUDY = dataclasses.replace(
    STUDY,
    created="2026-11-02T10:00:00+00:00",
    registration=register(
        baseline="gpt2", arms=["norm=rms"], match="flops", margin=STUDY.margin, seeds=STUDY.seeds, scores=["position"]
    ),
)


def runs(**changes: object) -> list[StudyRun]:
    made = example_runs(VALUES)
    return [
        dataclasses.replace(r, record=dataclasses.replace(r.record, created="2026-11-02T10:00:30+00:00", **changes))
        for r in made
    ]


def test_nothing_to_tell() -> None:
    assert deviations(STUDY, runs()) == []


def test_a_changed_registration_is_seen() -> None:
    edited = {**STUDY.registration, "margin": 0.02}
    assert "changed after it was written" in deviations(dataclasses.replace(STUDY, registration=edited), runs())[0]
    edited = {**edited, "sha256": digest_of(edited)}
    (told,) = deviations(dataclasses.replace(STUDY, registration=edited), runs())
    assert "not those that were registered" in told
    assert "no registration" in deviations(dataclasses.replace(STUDY, registration={}), runs())[0]


def test_runs_that_are_missing_diverged_or_older() -> None:
    assert deviations(STUDY, runs()[1:]) == ["1 planned run is missing."]
    broken = example_runs({"gpt2": [1.6, None, 1.6, 1.65], "norm=rms": VALUES["norm=rms"]})
    assert "Runs that diverged and are not replaced: 1 of gpt2." in deviations(STUDY, broken)
    (older,) = deviations(STUDY, [*runs()[:7], _older(runs()[7])])
    assert older.startswith("1 run had been trained before this was registered, by an earlier study (1 of norm=rms")


def _older(run: StudyRun) -> StudyRun:
    return dataclasses.replace(run, record=dataclasses.replace(run.record, created="2026-11-01T10:00:00+00:00"))


def test_other_code_torch_or_device() -> None:
    mixed = runs(identity={"torch": "2.13", "device": "cpu AVX2", "code": "a"})
    other = dataclasses.replace(mixed[0].record, identity={"torch": "2.12", "device": "cpu AVX512", "code": "b"})
    told = deviations(STUDY, [dataclasses.replace(mixed[0], record=other), *mixed[1:]])
    assert told == [
        "The runs have different versions of torch: 2.12 and 2.13.",
        "The runs have different kinds of device: cpu AVX2 and cpu AVX512.",
        "The runs of gpt2 were trained by 2 versions of the code.",
    ]


def test_records_that_were_edited_and_sealed_again_are_seen() -> None:
    first = runs()[0]
    better = dataclasses.replace(first.record, scores={**first.record.scores, "nats_per_byte": 1.5})
    told = deviations(STUDY, [dataclasses.replace(first, record=better), *runs()[1:]])
    assert told == ["Runs that have a loss that is not that of their documents: 1 of gpt2."]
    for identity in ({"spec": {"norm": "rms"}}, {"num_steps": 1}, {"seed": {"initial": 3, "data": 3}}):
        other = dataclasses.replace(first.record, identity=identity)
        told = deviations(STUDY, [dataclasses.replace(first, record=other), *runs()[1:]])
        assert told == ["Runs that were trained as another arm than they stand for: 1 of gpt2."]


def test_another_design_than_the_registered_one_is_seen() -> None:
    study = example_design_study("norm=rms", "activation=swiglu", kinds=["path"])
    made = example_runs({arm.name: [1.6, 1.7, 1.6, 1.65] for arm in study.arms})
    assert deviations(study, made) == []
    cells = [{**cell, "against": "gpt2"} for cell in study.design["cells"]]
    edited = dataclasses.replace(study, design={**study.design, "cells": cells})
    assert deviations(edited, made) == ["The design of the study is not the one that was registered."]


def test_scores_that_failed_or_were_added() -> None:
    made = runs()
    key = made[0].record.key
    scores = (
        ScoreRecord("a" * 64, {}, key, "position", "failed", ""),
        ScoreRecord("b" * 64, {}, key, "extrapolation", "finished", ""),
    )
    told = deviations(STUDY, [dataclasses.replace(made[0], scores=scores), *made[1:]])
    assert told == [
        "The score position failed on 1 run.",
        "Scores that were added after the registration: extrapolation.",
    ]
