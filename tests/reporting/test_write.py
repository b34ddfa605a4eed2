"""What write_report leaves in the folder: whole files, the same for the same records."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from harness.records.atomic import StoreError
from harness.reporting.write import COMPARISONS_VERSION, write_report


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def drawn(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*.svg")}


def test_every_shape_is_written(shape, report_of) -> None:
    figures = {"curves", *(["forest"] if shape.comparisons else [])}
    scored = {score.name for run in shape.runs for score in run.scores if score.status == "finished"}
    figures |= scored & {"position", "extrapolation", "capacity"}
    figures |= {"experts" for run in shape.runs if run.record.moe_health}
    figures |= {"stability" for run in shape.runs if run.record.status == "finished" and run.record.stability}
    whole = all(run.record.status == "finished" for run in shape.runs)
    factorial = "factorial" in shape.study.design.get("kinds", []) and not shape.study.design["generators"]
    figures |= {"interactions"} if factorial and whole else set()
    figures |= {"slopes"} if any(len(c.pairs) > 1 for c in shape.comparisons) else set()
    texts = {"report.html", "report.md", "comparisons.json"}
    texts |= {"calibration.json"} if shape.calibration is not None else set()
    files = {name for name in contents(report_of(shape)) if not name.startswith("tables/")}
    assert files == texts | {f"{name}.svg" for name in figures}
    assert not any("mathdefault" in text for name, text in drawn(report_of(shape)).items()), "labels are plain text"


def test_the_same_records_give_the_same_bytes(hostile, report_of, tmp_path: Path) -> None:
    write_report(tmp_path / "again", hostile)
    assert contents(tmp_path / "again") == contents(report_of(hostile))


def test_comparisons_json(shape, report_of) -> None:
    document = json.loads((report_of(shape) / "comparisons.json").read_text(), parse_constant=pytest.fail)
    assert document["schema_version"] == COMPARISONS_VERSION
    assert document["study"] == shape.study.name
    assert [row["verdict"] for row in document["comparisons"]] == [c.verdict for c in shape.comparisons]


def test_a_full_disk_leaves_the_old_report(
    equivalent,
    hostile,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_report(tmp_path, equivalent)
    before = contents(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        write_report(tmp_path, hostile)
    assert contents(tmp_path) == before


def test_a_mean_over_fewer_runs_than_finished_says_so(huge, report_of) -> None:
    text = (report_of(huge) / "report.md").read_text(encoding="utf-8")
    assert "| norm=dyt | 4 of 4 |" in text
    assert "77.901 ± 99.719 (2 runs) |" in text, "the perplexity of the other two is too large for a number"
