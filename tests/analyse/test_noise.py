"""The A/A band covers what it says, and a study without a calibration names the command that makes one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from harness.analyse.noise import aa_band, calibration_command, source_rows
from harness.calibrate import parser
from harness.cli.arguments import recipe_of
from harness.cli.prepare import baseline_of, budget_of
from harness.plan.match import plan_baseline
from harness.records.calibration import CalibrationRecord, Noise
from harness.records.example import example_runs, example_study
from harness.spec.tokens import Arm


def calibrated(values: Sequence[float], components: Sequence[list] = (), counts: dict[str, int] | None = None):
    noise = Noise("nats_per_byte", "nats per byte", list(values), 1.0, 1.0, list(components), None, None)
    noise = dataclasses.replace(noise, counts=counts or {})
    return CalibrationRecord("k", {}, [], "2026-11-02", [noise], {"reason": "few"}, {"found": True}, 25.0)


@pytest.mark.parametrize("num_runs", [4, 8])
def test_the_band_holds_95_of_100_aa_studies_of_any_size(num_runs: int) -> None:
    rng, pairs, trials = np.random.default_rng(num_runs), 5, 4000
    inside = 0
    for _ in range(trials):
        band = aa_band(calibrated(rng.normal(1.6, 0.01, num_runs).tolist()), pairs)
        assert band is not None
        one, other = rng.normal(1.6, 0.01, (2, pairs)).mean(axis=1)
        inside += abs(one - other) <= band.half
    assert inside / trials == pytest.approx(0.95, abs=0.012)  # 3.5 standard errors


def test_no_calibration_and_no_spread_give_no_band() -> None:
    assert aa_band(None, 8) is None
    assert aa_band(calibrated([1.6, 1.6, 1.6]), 8) is None


def test_sources_are_standard_deviations_with_shares_and_counts() -> None:
    study, runs = example_study(), example_runs({"gpt2": [1.6, 1.61, 1.62, 1.6], "norm=rms": [1.6] * 4})
    parts = [["init", 9e-6, 1e-6, 4e-4], ["hardware", 0.0, 0.0, 0.0], ["total", 1.6e-5, 4e-6, 1e-4]]
    found = calibrated([1.6, 1.7], parts, {"init": 3, "data order": 3, "again": 2})
    init, hardware, total, documents = source_rows(found.noise[0], study, runs)
    assert (init.sd, init.ci95, init.share) == (pytest.approx(0.003), (0.001, 0.02), pytest.approx(9 / 16))
    assert (init.counts, hardware.counts) == ("3 init x 3 data seeds", "2 seeds run twice")
    assert (hardware.sd, hardware.share) == (0.0, 0.0)
    assert total.share is None
    assert (documents.source, documents.counts, documents.ci95) == ("validation documents", "8 documents", None)
    assert documents.sd > 0
    assert source_rows(calibrated([1.6, 1.7], parts).noise[0], study, [])[0].counts == "n/a", "of before"


@pytest.mark.parametrize(
    "flags",
    [
        "--steps 3105",
        "--baseline llama --size micro --steps 50 --lr 0.003",
        "--size 3x64 --heads 4 --seq-len 64 --tokens-per-step 1024 --steps 70 --schedule wsd --data /a/text.txt",
    ],
)
def test_the_command_plans_the_baseline_of_the_study_again(flags: str) -> None:
    args = parser().parse_args(flags.split())
    spec, recipe = baseline_of(args), recipe_of(args)
    planned = plan_baseline(Arm(args.baseline, spec), recipe.tokens_per_step, **budget_of(args))
    study = example_study((args.baseline, "norm=rms"))
    first = dataclasses.replace(study.arms[0], spec=planned.ledger.spec.to_json(), num_steps=planned.num_steps)
    data = {**study.data, "name": args.data}
    study = dataclasses.replace(study, arms=[first, study.arms[1]], recipe=recipe.to_json(), data=data)
    told = calibration_command(study)
    assert told is not None
    assert told[:3] == ["python", "-m", "harness.calibrate"]
    again = parser().parse_args(told[3:])
    assert (baseline_of(again), recipe_of(again), again.data) == (spec, recipe, args.data)
    assert again.steps == planned.num_steps
    assert sorted(told[3:]) == sorted(flags.split()), "and nothing that is the default"


def test_a_trunk_has_no_command() -> None:
    study = dataclasses.replace(example_study(), recipe={"lr": 0.006, "schedule": "wsd", "warmup_steps": 100})
    assert calibration_command(study) is None
