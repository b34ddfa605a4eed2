"""Rises of a recorded loss, worked by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from harness.analyse.stability import largest_rise, norm_curves, stability_rows
from harness.records.example import example_run, example_study
from harness.records.record import StudyRun


def trained(arm: str, seed: int, losses: Sequence[float | None], diverged: bool = False) -> StudyRun:
    run = example_run(arm, seed, None if diverged else 1.65, "diverged" if diverged else "finished")
    curve: Any = [[10.0 * i, 1e9 * i, loss] for i, loss in enumerate(losses, start=1)]
    return dataclasses.replace(run, record=dataclasses.replace(run.record, curve=curve))


def test_a_rise_is_above_the_lowest_point_before_it() -> None:
    assert largest_rise(trained("a", 0, [3.0, 2.0, 2.5, 1.0, 1.7, 0.5]).record) == (pytest.approx(0.7), 50)
    assert largest_rise(trained("a", 0, [3.0, 2.0, 2.25, 2.5]).record) == (pytest.approx(0.5), 40), "not from one point"
    assert largest_rise(trained("a", 0, [3.0, 2.0, 1.0]).record)[0] == 0
    assert largest_rise(trained("a", 0, [3.0]).record)[0] is None
    assert largest_rise(trained("a", 0, [3.0, 3.5, None], diverged=True).record) == (0.5, 20), "up to the NaN"
    assert largest_rise(trained("a", 0, [None], diverged=True).record)[0] is None


def test_steps_of_an_arm_are_counted_together_and_norms_are_of_the_median_run() -> None:
    runs = [example_run("gpt2", seed, 1.65) for seed in range(3)]
    odd = {**(runs[2].record.stability or {}), "loss_spikes": 4, "clipped": 0.9, "kurtosis": [9.0, 3.0]}
    runs[2] = dataclasses.replace(runs[2], record=dataclasses.replace(runs[2].record, stability=odd))
    (row,) = stability_rows(example_study(("gpt2",)), runs)
    assert (row.judged_steps, row.loss_spikes, row.norm_spikes) == (2700, 4, 3)
    assert (row.clipped, row.kurtosis, row.largest_norm) == (0.25, 2.25, 3.0)
    lost = {**odd, "kurtosis": [None, None]}  # what was not finite is None in a file
    again = [*runs[:2], dataclasses.replace(runs[2], record=dataclasses.replace(runs[2].record, stability=lost))]
    assert stability_rows(example_study(("gpt2",)), again)[0].kurtosis == 2.25
    (curve,) = norm_curves(example_study(("gpt2",)), runs)
    assert (curve.steps[0], curve.medians[0], curve.largest[0]) == (100, 1.5, 3.0)


def test_old_records_say_nothing_of_steps() -> None:
    run = example_run("gpt2", 0, 1.65)
    old = dataclasses.replace(run, record=dataclasses.replace(run.record, stability=None))
    (row,) = stability_rows(example_study(("gpt2",)), [old])
    assert (row.judged_steps, row.clipped, row.kurtosis) == (None, None, None)
    assert norm_curves(example_study(("gpt2",)), [old]) == []


def test_an_arm_over_its_runs() -> None:
    runs = [
        trained("gpt2", 0, [3.0, 2.0, 2.25]),
        trained("norm=rms", 0, [3.0, 2.0, 2.5]),
        trained("norm=rms", 1, [3.0, 2.0, 4.0], diverged=True),
        trained("norm=rms", 2, []),
    ]
    base, rms = stability_rows(example_study(), runs)
    assert (base.num_runs, base.num_diverged, base.median_rise) == (1, 0, 0.25)
    assert (rms.num_runs, rms.num_diverged, rms.median_rise) == (3, 1, 1.25)
    assert (rms.largest_rise, rms.seed, rms.step) == (2.0, 1, 30)
