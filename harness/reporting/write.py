"""A study's report as files in its folder. The same records give the same bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from harness.analyse.comparison import Comparison, to_json
from harness.analyse.curves import curves
from harness.analyse.forest import forest
from harness.records.atomic import write_text
from harness.records.record import StudyRecord, StudyRun
from harness.records.seal import finite
from harness.reporting import figures, html, markdown
from harness.reporting.page import page

COMPARISONS_VERSION = 1  # of comparisons.json


def write_report(
    folder: Path | str, study: StudyRecord, runs: Sequence[StudyRun], comparisons: Sequence[Comparison]
) -> Path:
    """Write report.html, report.md, comparisons.json and the figures; returns the path of report.html.

    Raises:
        StoreError: the disk refuses; each file is whole, as it was or as it is now.
    """
    folder = Path(folder)
    drawn = {"curves": figures.loss_curves(curves(study, runs))}
    rows = forest(comparisons)
    if rows is not None:
        drawn["forest"] = figures.forest_plot(rows)
    text = page(study, runs, comparisons)
    for name, svg in drawn.items():
        write_text(folder / f"{name}.svg", svg)
    write_text(folder / "comparisons.json", _comparisons(study, comparisons))
    write_text(folder / "report.md", markdown.render(text, sorted(drawn)))
    write_text(folder / "report.html", html.render(text, drawn))
    return folder / "report.html"


def _comparisons(study: StudyRecord, comparisons: Sequence[Comparison]) -> str:
    document = {
        "schema_version": COMPARISONS_VERSION,
        "study": study.name,
        "comparisons": [finite(to_json(comparison)) for comparison in comparisons],
    }
    return json.dumps(document, indent=1, allow_nan=False) + "\n"
