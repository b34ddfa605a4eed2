"""A study that screened: what went on and what did not, and on which seeds either was seen."""

from __future__ import annotations

from harness.analyse.scores import PRIMARY, SCORES
from harness.analyse.screening import fresh_seeds, screened, screening_seeds
from harness.analyse.text import count, p_text, seeds, signed
from harness.reporting.cells import NOT_AVAILABLE
from harness.reporting.section import Grid, Material, Section


def section(material: Material) -> Section | None:
    """A table of the screen; None where the study does not screen."""
    study = material.study
    if not screening_seeds(study):
        return None
    rows = screened(study, material.runs)
    if rows is None:
        return Section("Screening", (f"The screen on {seeds(screening_seeds(study))} is not complete.",))
    on = [row for row in rows if row.goes_on]
    told = (
        f"{count(len(rows), 'arm')} screened on {seeds(screening_seeds(study))}; {len(on)} went on, "
        f"{len(rows) - len(on)} were screened out. Every confirmed estimate, interval and verdict in this report uses "
        f"{seeds(fresh_seeds(study))} alone: the screen's numbers are those that chose, and are too good for the arms "
        "that went on. An arm that was screened out was not shown to be worse or equal."
    )
    finished = [row for row in rows if row.mean == row.mean]
    cells = [
        (
            row.arm,
            "went on" if row.goes_on else "screened out",
            signed(row.mean) if row in finished else NOT_AVAILABLE,
            p_text(row.p_better) if row in finished else NOT_AVAILABLE,
            row.reason,
        )
        for row in rows
    ]
    note = f"Arm minus {study.baseline} in {SCORES[PRIMARY].unit} on the screening seeds; p is one-sided, uncorrected."
    columns = ("arm", "screen", "screening mean", "p better", "reason")
    return Section("Screening", (told,), (Grid(columns, cells, note),))
