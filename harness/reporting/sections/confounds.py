"""What else differs between an arm and the baseline, listed by machine."""

from __future__ import annotations

from harness.analyse.confounds import confound_rows
from harness.analyse.design import compared_with
from harness.reporting.section import Grid, Material, Section

MOST_ARMS = 8
"""Arms whose differences are shown; study.json has all. Assumption: nobody reads more."""


def section(material: Material) -> Section | None:
    """A table of differences, an arm after another; None where an arm has none recorded."""
    rows = confound_rows(material.study)
    if not rows:
        return None
    arms = list(dict.fromkeys(row.arm for row in rows))
    shown = [(r.arm, r.what, r.baseline, r.value) for r in rows if r.arm in arms[:MOST_ARMS]]
    left = f" {len(arms) - MOST_ARMS} more arms are in study.json." if len(arms) > MOST_ARMS else ""
    note = (
        "Found by comparing the two models as built, counted and run once: a difference that is not the named variant "
        f"or its consequence is a confound.{left}"
    )
    return Section("What else differs", grids=(Grid(("arm", "what", _other(material), "arm's"), shown, note),))


def _other(material: Material) -> str:
    """What the arms are compared with: the baseline, or whom their design names."""
    others = set(compared_with(material.study).values())
    return material.study.baseline if others <= {material.study.baseline} else "compared with"
