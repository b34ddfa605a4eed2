"""The noise of a study's scale beside its differences, and the command that measures it where it is not known."""

from __future__ import annotations

import dataclasses

import pytest

from harness.analyse.noise import aa_band
from harness.reporting.page import page
from harness.reporting.sections import noise
from harness.reporting.sections.noise import section
from tests.reporting.conftest import SHAPES

CALIBRATED, UNKNOWN = SHAPES["calibrated"], SHAPES["equivalent"]


def test_a_calibration_is_shown_in_tables_sentences_and_captions(whole) -> None:
    made = whole(section, CALIBRATED)
    sources, scores = made.grids
    assert [row[0] for row in sources.rows] == [
        "init",
        "data order",
        "residual",
        "total",
        "hardware",
        "validation documents",
    ]
    assert sources.rows[0][4] == "3 init x 3 data seeds"
    assert [row[0] for row in scores.rows] == ["nats_per_byte", "nats_per_token", "bits_per_byte"]
    told = " ".join(made.notes)
    assert "runs correlate" in told
    assert "A/A splits of 4 pairs" in told
    assert "the whole pipeline" in told
    assert "The planted effect was found" in told
    band = aa_band(CALIBRATED.calibration, 4)
    assert band is not None
    shown = page(CALIBRATED)
    assert shown.forest is not None
    differences = next(s for s in shown.sections if s.title == "Differences")
    for caption in (shown.forest.caption, differences.grids[0].note, told):
        assert f"A/A noise, ±{band.half:.4f}" in caption
    without = page(dataclasses.replace(CALIBRATED, calibration=None)).forest
    assert without is not None
    assert without.svg.count("<path") < shown.forest.svg.count("<path"), "the band is drawn"


def test_without_one_a_sentence_gives_the_command() -> None:
    made = section(UNKNOWN)
    assert not made.grids
    (told,) = made.notes
    assert told.endswith("python -m harness.calibrate --data 'made up' --steps 3105")
    assert noise.noise_floor(UNKNOWN) == ""
    assert "A/A" not in page(UNKNOWN).forest.caption  # pyright: ignore[reportOptionalMemberAccess]


def test_another_machine_is_named() -> None:
    record = CALIBRATED.calibration
    assert record is not None
    elsewhere = dataclasses.replace(record, environment={"device": "cuda H100"})
    told = section(dataclasses.replace(CALIBRATED, calibration=elsewhere)).notes[0]
    assert "on cuda H100 and not on cpu as this study" in told
    study = dataclasses.replace(CALIBRATED.study, environment={**CALIBRATED.study.environment, "manner": "bf16"})
    told = section(dataclasses.replace(CALIBRATED, study=study)).notes[0]
    assert ", in fp32 and not in bf16 as this study" in told


@pytest.mark.parametrize("name", ["screen", "path", "alone", "nothing begun", "always diverged"])
def test_every_shape_says_its_noise_or_the_command(name: str) -> None:
    assert "harness.calibrate" in section(SHAPES[name]).notes[0]
