"""How smoothly the arms trained: divergence, and how far the training loss rose."""

from __future__ import annotations

from harness.analyse.stability import StabilityRow, stability_rows
from harness.analyse.text import number
from harness.reporting.cells import NOT_AVAILABLE
from harness.reporting.section import Grid, Material, Section


def section(material: Material) -> Section | None:
    """A table, a row an arm; None before a run was recorded."""
    rows = stability_rows(material.study, material.runs)
    if not rows:
        return None
    note = (
        "From the recorded training loss, nats per token, a mean between two points of its curve: a spike shorter than "
        "that is averaged out. A rise is above the lowest point so far; text alone makes one, so read an arm against "
        "the others. Gradient norms and activations are not recorded, and nothing is said of them."
    )
    columns = ("arm", "runs", "diverged", "rise, median run", "largest rise", "its seed", "its step")
    return Section("Stability of training", grids=(Grid(columns, [_cells(row) for row in rows], note),))


def _cells(row: StabilityRow) -> tuple[str, ...]:
    start = (row.arm, str(row.num_runs), str(row.num_diverged))
    if row.largest_rise is None:
        return (*start, *[NOT_AVAILABLE] * 4)
    where = (str(row.seed), f"{row.step:,}") if row.largest_rise > 0 else ("none", "none")
    return (*start, number(row.median_rise), number(row.largest_rise), *where)
