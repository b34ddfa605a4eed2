"""What was decided before the first run, and where the study went another way."""

from __future__ import annotations

from typing import Any

from harness.analyse.deviations import deviations
from harness.reporting.section import Grid, Material, Section


def section(material: Material) -> Section | None:
    """The registration as a table, the deviations as sentences above it."""
    told = material.study.registration
    found = deviations(material.study, material.runs)
    notes = tuple(found) or ("Everything went as it was registered.",)
    rows = [(name.replace("_", " "), _text(value)) for name, value in told.items()]
    note = "Written into study.json, with its digest, before the first run."
    return Section("Registration and deviations", notes, (Grid(("what", "reason"), rows, note),) if rows else ())


def _text(value: Any) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)
