"""tuning.json says again what was written, and no seed is tuned on and scored."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness.records.tuning import TuningRecord, TuningTrial, read_tuning, write_tuning
from variants.errors import UserError

TRIAL = TuningTrial("gpt2", 0.006, 10_000, "complete", 1.7, "", "ab" * 32)
RECORD = TuningRecord(0.006, 0.25, [10_000], ["gpt2"], "", "sweep_x", [TRIAL], "2026-11-02T10:00:00Z")


def test_round_trip(tmp_path: Path) -> None:
    assert read_tuning(tmp_path, range(8)) is None
    write_tuning(tmp_path, RECORD, range(8))
    assert read_tuning(tmp_path, range(8)) == RECORD


def test_a_seed_is_not_tuned_on_and_scored(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="seeds 10000 would be tuned on and scored too"):
        write_tuning(tmp_path, RECORD, [0, 10_000])
    write_tuning(tmp_path, dataclasses.replace(RECORD, seeds=[7]), range(3))
    with pytest.raises(UserError, match="scored too"):
        read_tuning(tmp_path, [10_000])


def test_an_edited_record_is_refused(tmp_path: Path) -> None:
    write_tuning(tmp_path, RECORD, range(8))
    path = tmp_path / "tuning.json"
    path.write_text(path.read_text().replace("1.7", "1.2"))
    with pytest.raises(UserError, match="does not match its own sha256"):
        read_tuning(tmp_path, range(8))
