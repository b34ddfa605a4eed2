"""A study's report as files in its folder. The same records give the same bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from harness.analyse.comparison import Comparison, to_json
from harness.records.atomic import write_text
from harness.records.calibration import keep_calibration
from harness.records.record import StudyRecord
from harness.records.seal import finite
from harness.reporting.files import write_page
from harness.reporting.page import page
from harness.reporting.section import Material

COMPARISONS_VERSION = 1  # of comparisons.json


def write_report(folder: Path | str, material: Material) -> Path:
    """Write report.html, report.md, comparisons.json, figures and tables, and keep the calibration they show; returns
    the path of report.html.

    Raises:
        StoreError: the disk refuses; each file is whole, as it was or as it is now.
    """
    folder = Path(folder)
    if material.calibration is not None:
        keep_calibration(folder, material.calibration)
    write_text(folder / "comparisons.json", _comparisons(material.study, material.comparisons))
    return write_page(folder, page(material))


def _comparisons(study: StudyRecord, comparisons: Sequence[Comparison]) -> str:
    document = {
        "schema_version": COMPARISONS_VERSION,
        "study": study.name,
        "comparisons": [finite(to_json(comparison)) for comparison in comparisons],
    }
    return json.dumps(document, indent=1, allow_nan=False) + "\n"
