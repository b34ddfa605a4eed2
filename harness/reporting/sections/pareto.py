"""Quality against throughput: who is beaten on both counts."""

from __future__ import annotations

from harness.analyse import pareto
from harness.analyse.pareto import Panel, Point
from harness.analyse.quantities import rounded, rounded_interval
from harness.analyse.text import duration, number
from harness.analyse.throughput import timings
from harness.reporting.figures.pareto import pareto_plot
from harness.reporting.section import Drawing, Grid, Material, Section


def section(material: Material) -> Section | None:
    """None when nothing was timed, or no arm has both a loss and a rate."""
    measured = material.measurement("throughput")
    if measured is None or measured.status == "failed":
        return None
    data = pareto.panels(material.study, material.runs, timings(measured.detail))
    if not data:
        return None
    budget = (
        "The loss is at the study's budget, where an arm whose tokens cost fewer FLOPs may read more of them: the "
        "table has the time of a whole run beside the rate. Beyond the intervals: the 95 % interval of the paired "
        "difference of losses lies on one side of zero, and those of the rates do not meet."
    )
    return Section(
        "Quality against throughput",
        notes=(*map(pareto.sentence, data), budget),
        grids=tuple(_grid(panel) for panel in data),
        drawings=(Drawing("pareto", pareto_plot(data), _alt(data), _caption()),),
    )


def _grid(panel: Panel) -> Grid:
    training = panel.kind == "train"
    columns = ("arm", f"loss, {panel.unit}", "95 % interval", "seeds", "tokens/s", "95 % interval of the rate")
    columns = (*columns, *(("time of a run",) if training else ()), "dominated")
    lacking = "".join(f" Without a point: {arm}, {why}." for arm, why in panel.lacking)
    note = (
        f"Means over the seeds an arm finished, Student t intervals; medians of blocks, bootstrap intervals.{lacking}"
    )
    return Grid(columns, [_row(point) for point in panel.points], note, panel.title.capitalize())


def _row(point: Point) -> tuple[str, ...]:
    low_high = point.loss_ci95
    return (
        point.arm,
        number(point.loss),
        "no interval" if low_high is None else f"[{number(low_high[0])}, {number(low_high[1])}]",
        str(point.num_seeds),
        rounded(point.rate.median),
        rounded_interval(point.rate.ci95),
        *(() if point.run_seconds is None else (duration(point.run_seconds),)),
        pareto.dominated_text(point),
    )


def _alt(data: list[Panel]) -> str:
    cases = " and ".join(panel.title for panel in data)
    return f"Validation loss against tokens a second ({cases}), an arm a point; the numbers are in the table above"


def _caption() -> str:
    return (
        "Filled, joined by the line: no other arm has a loss as low and a rate as high. Hollow: dominated. Bars: 95 % "
        "intervals of the mean loss and of the median rate. A triangle at the upper edge: the loss is beyond it."
    )
