"""All arms of a study are measured side by side, once, and what cannot be measured is a record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.ablate import main
from harness.engine import measurements
from harness.engine.measurements import MEASURERS, Measurer
from harness.records.study import read_measurements
from variants.errors import UserError


def run(flags: list[str], capsys: pytest.CaptureFixture[str], *more: str) -> dict:
    assert main(["norm=rms", "--json", *flags, "--score", "speed", *more]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_speed_of_every_arm_is_measured_once(
    tiny_flags: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(tiny_flags, capsys)
    measured = first["measurements"]["throughput"]
    assert measured["status"] == "finished"
    rows = measured["detail"]["rows"]
    assert [(row["arm"], row["kind"]) for row in rows] == [("gpt2", "train"), ("norm=rms", "train")]
    assert rows[0]["against_first"] is None
    low, high = rows[1]["against_first"]["ci95"]
    assert low <= rows[1]["against_first"]["median"] <= high
    assert read_measurements(first["study"]["folder"])[0].detail == measured["detail"]

    failing = Measurer("throughput", lambda *_: pytest.fail("measured twice"), MEASURERS["speed"].code)
    monkeypatch.setitem(measurements.MEASURERS, "speed", failing)
    assert run(tiny_flags, capsys)["measurements"]["throughput"] == measured


@pytest.mark.parametrize("error", [UserError("no clock"), RuntimeError("no memory")])
def test_a_measurement_that_fails_is_a_record(
    tiny_flags: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*_: object) -> dict:
        raise error

    monkeypatch.setitem(measurements.MEASURERS, "speed", Measurer("throughput", broken, ()))
    found = run(tiny_flags, capsys)
    assert found["measurements"]["throughput"]["status"] == "failed"
    assert str(error) in found["measurements"]["throughput"]["reason"]
    assert Path(found["study"]["folder"], "report.html").exists()


def test_without_a_finished_baseline_nothing_is_measured(
    tiny_flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(tiny_flags, capsys, "--lr", "1e30")
    assert "no run of gpt2 finished" in found["measurements"]["throughput"]["reason"]
