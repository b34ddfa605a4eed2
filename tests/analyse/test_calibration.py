"""A calibration's numbers from made-up runs with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analyse.aa_studies import pipeline_errors
from harness.analyse.calibration import false_positives, forecast, noise
from harness.analyse.calibration_text import calibration_text, noise_table, pipeline_lines
from harness.analyse.scores import SCORES
from harness.analyse.statistics import smallest_effect
from harness.records.calibration import CalibrationRecord
from harness.records.example import example_run, example_study

RNG = np.random.default_rng(0)
VALUES = RNG.normal(1.6, 0.01, 16).tolist()
TABLE = (RNG.normal(0, 0.01, (3, 1)) + RNG.normal(0, 0.001, (1, 3)) + RNG.normal(1.6, 0.0001, (3, 3))).tolist()


ERRORS = false_positives(VALUES)


def record(planted: list[float] | None) -> CalibrationRecord:
    beside = {} if planted is None else dict(enumerate(planted))
    again = [[1.6, 1.6], [1.7, 1.7]]
    found = noise(SCORES["nats_per_byte"], dict(enumerate(VALUES)), TABLE, again, beside, len(VALUES))
    told = {"found": True, "verdict": "worse", "mean_difference": 0.1, "ci95": [0.0, 0.2], "reason": "so"}
    return CalibrationRecord("k", {}, [], "2026-11-02", [found], ERRORS, told, 25.0)


def test_the_sources_are_told_apart() -> None:
    sd = {source: variance**0.5 for source, variance, _, _ in record(None).noise[0].components}
    assert sd["hardware"] == 0
    assert sd["init"] > 3 * sd["data order"]
    assert sd["residual"] < 0.001


def test_the_forecast_is_the_power_of_the_measured_spread() -> None:
    planted = [v + 0.05 + d for v, d in zip(VALUES, RNG.normal(0, 0.002, 16), strict=True)]
    calibrated = record(planted)
    spread = calibrated.noise[0].sd_difference
    assert spread is not None
    assert spread == pytest.approx(0.002, rel=0.5)
    lines = forecast(calibrated, 8, 16, 2, 0.01, 0.8)
    assert f"{smallest_effect(spread, 8):.4f}" in lines[0]
    assert "paired seeds" in lines[1]
    shared = forecast(calibrated, 8, 48, 2, 0.01, 0.8, tests=5)[0]
    assert f"{smallest_effect(spread, 8, alpha=0.01):.4f}" in shared
    assert "shared by 5 arms" in shared
    assert lines[2] == "about 3 min 20 s for 16 runs"
    assert "unpaired" in forecast(record(None), 8, 16, 2, None, 0.8)[0]


def test_false_positives_are_near_their_level() -> None:
    assert ERRORS["pairs"] == 8
    assert 0.0 <= ERRORS["rate"] < 0.15
    assert "need 8 seeds" in false_positives(VALUES[:7])["reason"]
    assert "A/A splits of 8 pairs" in calibration_text(record(None))


def test_what_a_score_lacks_is_said_and_not_made_up() -> None:
    some = noise(SCORES["perplexity"], {0: 5.0, 2: 5.2}, None, [], {0: 6.0}, 4)
    assert some.components == []
    assert (some.correlation, some.gain, some.sd_difference) == (None, None, None)
    assert some.reason == (
        "2 of 4 seeds have no value; a run of the crossed seeds has no value; no run done again has a value; "
        "the planted arm lacks seeds"
    )
    head, row, why = noise_table([some])
    assert row.split() == ["perplexity", "2", "0.14", *"--------", "per", "token"]
    assert len(head) > row.index("per token") == head.index("unit")
    assert some.reason in why
    same = noise(
        SCORES["perplexity"], dict.fromkeys(range(4), 5.0), [[5.0] * 3] * 3, [], dict.fromkeys(range(4), 5.0), 4
    )
    assert {variance for _, variance, _, _ in same.components} == {0.0}
    assert same.correlation is None, "no spread, no correlation"


def test_what_few_seeds_cannot_show_is_said() -> None:
    def told(seeds: int) -> str:
        runs = [example_run("gpt2", seed, value) for seed, value in enumerate(VALUES[:seeds])]
        found = pipeline_errors(example_study(seeds=range(seeds)), runs, most=20)
        return "\n".join(pipeline_lines(found._asdict()))

    assert "of 6 A/A studies of 2 pairs" in told(4)
    assert "2 pairs have 6 splits, too few" in told(4)
    assert "8 seeds have 840" in told(4)
    assert "of 20 A/A studies of 4 pairs" in told(8)
    assert "too few" not in told(8)
    assert "these share their runs; 1 independent study would leave" in told(8)
    assert pipeline_lines({}) == [], "a calibration from before it was measured"
