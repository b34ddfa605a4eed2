"""How smoothly the arms trained: divergence, rises and spikes of the loss, gradient norms, kurtosis of activations."""

from __future__ import annotations

from harness.analyse.stability import StabilityRow, norm_curves, stability_rows
from harness.analyse.text import number
from harness.reporting.cells import NOT_AVAILABLE
from harness.reporting.figures.stability import gradient_norms
from harness.reporting.section import Drawing, Grid, Material, Section

STEPS = (
    "arm",
    "steps judged",
    "spikes of the loss",
    "spikes of the gradient",
    "gradient norm, median",
    "largest",
    "steps clipped",
    "kurtosis of activations",
)
STEPS_NOTE = (
    "A spike is a step whose value lies seven standard deviations or more above the mean of the thousand before it "
    "(OLMo 2, arXiv:2501.00656), counted over all runs of an arm. Norms are of the whole gradient before clipping; "
    "norms, clipped steps and kurtosis are of the median run. Kurtosis is that of the channels' RMS in the layer where "
    "it is largest, on validation text: 1 where all channels are alike, d_model where one holds everything "
    "(arXiv:2405.19279)."
)
ALT = "The norm of the gradient over the steps of training, a line an arm"
CAPTION = "Thick: the median of a fiftieth of the steps, of the median finished run. Thin: the largest of them."


def section(material: Material) -> Section | None:
    """Two tables, a row an arm, and a figure; None before a run was recorded."""
    rows = stability_rows(material.study, material.runs)
    if not rows:
        return None
    note = (
        "From the recorded training loss, nats per token, a mean between two points of its curve. A rise is above the "
        "lowest point so far; text alone makes one, so read an arm against the others."
    )
    columns = ("arm", "runs", "diverged", "rise, median run", "largest rise", "its seed", "its step")
    grids, drawings = [Grid(columns, [_cells(row) for row in rows], note)], []
    if any(row.judged_steps is not None for row in rows):
        grids.append(Grid(STEPS, [_of_steps(row) for row in rows], STEPS_NOTE, title="Single steps"))
    if curves := norm_curves(material.study, material.runs):
        drawings.append(Drawing("stability", gradient_norms(curves), ALT, CAPTION))
    return Section("Stability of training", grids=tuple(grids), drawings=tuple(drawings))


def _of_steps(row: StabilityRow) -> tuple[str, ...]:
    if row.judged_steps is None:
        return (row.arm, *[NOT_AVAILABLE] * (len(STEPS) - 1))
    spikes = (f"{row.judged_steps:,}", f"{row.loss_spikes:,}", f"{row.norm_spikes:,}")
    clipped = NOT_AVAILABLE if row.clipped is None else f"{row.clipped:.1%}"
    return (row.arm, *spikes, number(row.median_norm), number(row.largest_norm), clipped, number(row.kurtosis, 2))


def _cells(row: StabilityRow) -> tuple[str, ...]:
    start = (row.arm, str(row.num_runs), str(row.num_diverged))
    if row.largest_rise is None:
        return (*start, *[NOT_AVAILABLE] * 4)
    where = (str(row.seed), f"{row.step:,}") if row.largest_rise > 0 else ("none", "none")
    return (*start, number(row.median_rise), number(row.largest_rise), *where)
