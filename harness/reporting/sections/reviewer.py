"""What a reviewer asks, and what the intervals do not cover."""

from __future__ import annotations

from harness.analyse.reviewer import answers, threats
from harness.reporting.section import Grid, Material, Section


def section(material: Material) -> Section:
    """A table of questions, and sentences on the limits."""
    found = answers(material.study, material.runs, material.comparisons, material.calibration, material.tuning)
    rows = [(one.question, one.word, one.told) for one in found]
    note = (
        "The FLOP counter is no question of a study: every variant's count is checked against the operations it runs, "
        "when the software is tested."
    )
    return Section(
        "Before believing it", tuple(threats(material.study)), (Grid(("question", "in a word", "answer"), rows, note),)
    )
