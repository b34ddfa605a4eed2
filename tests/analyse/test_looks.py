"""Looks: an arm is judged when its declared pairs are complete, stops when decided, and asks for no run more."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.analyse import sequential
from harness.analyse.comparison import compare
from harness.analyse.looks import compare_study, due
from harness.records.example import example_runs, example_study
from harness.records.record import StudyRecord
from harness.records.registration import register

LOOKS = (4, 8, 12)
BASE = list(np.random.default_rng(0).normal(1.65, 0.005, 12))


def study(*arms: str) -> StudyRecord:
    made = example_study(("gpt2", *arms), range(12))
    registration = register(
        baseline="gpt2", arms=arms, match="flops", margin=0.01, seeds=range(12), scores=(), looks=LOOKS
    )
    return dataclasses.replace(made, registration=registration)


def moved(by: float, sd: float, seed: int = 1) -> list[float]:
    return list(np.array(BASE) + np.random.default_rng(seed).normal(by, sd, 12))


def first(values: dict[str, list[float]], pairs: int) -> dict[str, list[float | None]]:
    return {arm: list(scores[:pairs]) for arm, scores in values.items()}


def test_one_look_is_the_usual_comparison() -> None:
    made = example_study(seeds=range(4))
    runs = example_runs({"gpt2": BASE[:4], "norm=rms": moved(0.001, 0.001)[:4]})
    assert compare_study(made, runs) == compare(made, runs)
    assert len(due(made, [])) == 8


def test_before_the_first_look_there_is_no_verdict() -> None:
    made = study("norm=rms")
    assert due(made, []) == [(arm, seed) for seed in range(4) for arm in ("gpt2", "norm=rms")]
    (c,) = compare_study(made, example_runs(first({"gpt2": BASE, "norm=rms": moved(0.0, 0.001)}, 3)))
    assert c.verdict is None
    assert c.ci95 is None


def test_an_arm_stops_when_it_is_decided_and_the_others_go_on() -> None:
    values = {"gpt2": BASE, "far": moved(-0.5, 0.001), "near": moved(0.004, 0.02, seed=3)}
    made = study("far", "near")
    runs = example_runs(first(values, 4))
    far, near = compare_study(made, runs)
    assert (far.verdict, far.num_seeds) == ("better", 4)
    assert far.p_value is None
    assert near.verdict is None
    wanted = due(made, runs)
    assert {seed for arm, seed in wanted if arm == "far"} == set(range(4))
    assert {seed for arm, seed in wanted if arm == "near"} == set(range(8))
    assert {seed for arm, seed in wanted if arm == "gpt2"} == set(range(8))


def test_what_is_said_is_what_the_sequential_rule_says() -> None:
    values = {"gpt2": BASE, "norm=rms": moved(0.001, 0.004, seed=5)}
    made = study("norm=rms")
    (c,) = compare_study(made, example_runs(first(values, 12)))
    differences = [b - a for a, b in zip(values["gpt2"], values["norm=rms"], strict=True)]
    decision = sequential.decide(differences, LOOKS, 0.01, 0.05)
    assert c.num_seeds == decision.pairs
    assert c.ci95 == pytest.approx(decision.ci)
    assert c.verdict == decision.word


def test_a_later_look_cannot_undo_an_earlier_one() -> None:
    far = moved(-0.5, 0.001)[:4] + moved(0.5, 0.001)[4:]
    made = study("far")
    (c,) = compare_study(made, example_runs(first({"gpt2": BASE, "far": far}, 12)))
    assert (c.verdict, c.num_seeds) == ("better", 4)


def test_runs_that_diverged_end_the_arm() -> None:
    values: dict[str, list[float | None]] = {"gpt2": list(BASE[:4]), "norm=none": [1.6, None, 1.7, 1.6]}
    made = study("norm=none")
    runs = example_runs(values)
    (c,) = compare_study(made, runs)
    assert c.verdict == "inconclusive"
    assert "diverged on seed 1" in c.reason
    assert {seed for _, seed in due(made, runs)} == set(range(4))


def test_undecided_to_the_end_is_inconclusive() -> None:
    values = {"gpt2": BASE, "norm=rms": moved(0.004, 0.03, seed=3)}
    made = study("norm=rms")
    runs = example_runs(first(values, 12))
    (c,) = compare_study(made, runs)
    assert c.verdict == "inconclusive"
    assert c.num_seeds == 12
    assert len(due(made, runs)) == 24
