"""What a report is made of, read from a study's folder: its own files, and those of the studies inside it."""

from __future__ import annotations

from pathlib import Path

from harness.analyse.looks import compare_study
from harness.records.study import read_measurements, read_study
from harness.reporting.section import Material

REGIMES = "regimes"
"""The folder, in a study's, of the study of its arms under other matching regimes."""


def read_material(folder: Path) -> Material:
    """The material of a study.

    Raises:
        UserError: the folder is not a study's, or a file in it is cut short, damaged or of another version.
        StoreError: the disk refuses.
    """
    study, runs = read_study(folder)
    inside = folder / REGIMES
    return Material(
        study,
        runs,
        compare_study(study, runs),
        read_measurements(folder),
        regimes=read_material(inside) if (inside / "study.json").exists() else None,
    )
