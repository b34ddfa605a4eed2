"""A calibration measures the noise at one scale, finds its planted effect, and later studies tell what they can see."""

from __future__ import annotations

import json

import pytest

from harness.ablate import main as ablate
from harness.calibrate import main
from harness.records.store import RunStore


@pytest.fixture
def flags(tiny_flags: list[str]) -> list[str]:
    """Without the flags that only studies have."""
    return [flag for flag in tiny_flags if flag not in ("--score", "none")]


def test_noise_planted_effect_and_forecast(
    flags: list[str], tiny_flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    scale = ["--steps", "120", "--seeds", "4"]
    assert main([*flags, *scale, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    primary = record["noise"][0]
    assert primary["score"] == "nats_per_byte"
    assert len(primary["values"]) == 4
    sources = {source: variance for source, variance, _, _ in primary["components"]}
    assert set(sources) == {"init", "data order", "residual", "total", "hardware"}
    assert sources["hardware"] == 0, "on a CPU the same seeds give the same bits"
    assert sources["total"] > 0
    assert record["planted"]["mean_difference"] > 0, "fewer steps are worse"
    assert "need 8 seeds" in record["false_positives"]["reason"]
    assert record["pipeline"]["studies"] == sum(record["pipeline"]["words"].values()) == 6

    assert ablate(["norm=rms", *tiny_flags, *scale, "--dry-run", "--effect", "0.05"]) == 0
    told = capsys.readouterr().err
    assert "4 paired seeds can find a difference of" in told
    assert "a difference of 0.05 nats per byte needs" in told
    assert ablate(["norm=rms", *tiny_flags, "--steps", "121", "--dry-run"]) == 0
    assert "harness.calibrate" in capsys.readouterr().err, "another scale is not calibrated"


def test_its_runs_are_those_of_a_study(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*flags, "--seeds", "4", "--json"]) == 0
    capsys.readouterr()
    out = flags[flags.index("--out") + 1]
    before = {record.key for record in RunStore(f"{out}/store")}
    assert ablate(["norm=rms", *flags, "--seeds", "4", "--score", "none", "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert {run["reused"] for run in runs if run["arm"] == "gpt2"} == {True}
    assert {run["key"] for run in runs if run["arm"] == "gpt2"} <= before


def test_too_few_seeds_is_one_sentence(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*flags, "--seeds", "3"]) == 2
    assert "at least 4 seeds, got 3" in capsys.readouterr().err
