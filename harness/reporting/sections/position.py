"""Loss by position in the context, a line an arm."""

from __future__ import annotations

from harness.analyse.position import SINGLE, position_lines
from harness.analyse.scores import absences
from harness.reporting.cells import NOT_AVAILABLE, names
from harness.reporting.figures.position import position_plot
from harness.reporting.section import Drawing, Material, Section


def section(material: Material) -> Section | None:
    """The figure; None where loss by position was not scored."""
    lines = position_lines(material.study, material.runs)
    if not lines:
        return None
    caption = (
        "Mean over seeds, with the band of its 95 % Student interval; no band for one seed, and a wide band may be cut "
        f"at the edge. Past the first {SINGLE}, a point is the mean over neighbouring positions. Where a line "
        "flattens, more context is not used."
    )
    alt = "Validation loss against position in the context, a line an arm"
    missing = [f"{NOT_AVAILABLE} for {names(a.arms)}: {a.reason}." for a in absences(material.runs, ["position"])]
    return Section(
        "Loss by position", tuple(missing), drawings=(Drawing("position", position_plot(lines), alt, caption),)
    )
