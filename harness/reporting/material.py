"""What a report is made of, read from a study's folder: its own files, and those of the studies inside it."""

from __future__ import annotations

from pathlib import Path

from harness.analyse.looks import compare_study
from harness.records.calibration import CalibrationRecord, kept_calibration, read_calibration
from harness.records.record import StudyRecord
from harness.records.study import read_measurements, read_study
from harness.records.tuning import read_tuning
from harness.reporting.section import Material

REGIMES = "regimes"
"""The folder, in a study's, of the study of its arms under other matching regimes."""

TUNED = "tuned"
"""The folder, in a study's, of the study of its arms at learning rates of their own."""


def read_material(folder: Path, store: Path | None = None) -> Material:
    """The material of a study.

    Args:
        store: where to look for a calibration newer than the study's own; nowhere if it is not given.

    Raises:
        UserError: the folder is not a study's, or a file in it is cut short, damaged or of another version.
        StoreError: the disk refuses.
    """
    study, runs = read_study(folder)
    return Material(
        study,
        runs,
        compare_study(study, runs),
        read_measurements(folder),
        regimes=_inside(folder / REGIMES),
        tuning=read_tuning(folder, study.seeds),
        tuned=_inside(folder / TUNED),
        calibration=_newest(folder, store, study),
    )


def _inside(folder: Path) -> Material | None:
    return read_material(folder) if (folder / "study.json").exists() else None


def _newest(folder: Path, store: Path | None, study: StudyRecord) -> CalibrationRecord | None:
    kept = kept_calibration(folder, study)
    found = None if store is None else read_calibration(store, study)
    return found if kept is None or (found is not None and found.created > kept.created) else kept
