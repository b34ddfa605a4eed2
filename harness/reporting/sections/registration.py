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
    return Section("Registration and deviations", notes, (registration_grid(told, "study.json"),) if told else ())


def registration_grid(told: dict[str, Any], file: str) -> Grid:
    """What was decided before the first run, and written into `file`."""
    rows = [(name.replace("_", " "), _text(value)) for name, value in told.items()]
    return Grid(("what", "decided"), rows, f"Written into {file}, with its digest, before the first run.")


def _text(value: Any) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)
