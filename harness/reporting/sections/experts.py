"""Mixtures of experts: load of every expert and layer, how even it is, and what a capacity costs."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analyse.experts import MEASURES, CapacityLine, HealthRow, capacity_lines, health_rows, load_maps
from harness.analyse.levels import ArmBand, Level
from harness.analyse.scoreboard import arm_order
from harness.analyse.scores import absences
from harness.analyse.text import listing
from harness.reporting.cells import NOT_AVAILABLE, level_text, lines, names
from harness.reporting.figures.capacity import capacity_plot
from harness.reporting.figures.experts import load_plot
from harness.reporting.section import Drawing, Grid, Material, Section

HEADS = {
    "max_violation": "MaxVio, 0 is even",
    "load_entropy": "entropy of the load, 1 is even",
    "dead_experts": "dead experts, share",
    "drop_rate": "drop rate, share of visits",
}
"""Of the measures of balance, with the value that is best."""


def section(material: Material) -> Section | None:
    """Tables and figures; None in a study without a mixture."""
    study, runs = material.study, material.runs
    order = arm_order(study, material.comparisons)
    rows = health_rows(study, runs, order)
    capacity = capacity_lines(study, runs)
    if not rows and not capacity:
        return None
    failed = [f"{NOT_AVAILABLE} for {names(a.arms)}: {a.reason}." for a in absences(runs, ["capacity"])]
    grids = [_balance(rows)] if rows else []
    drawings = []
    if rows:
        alt = "Load of every expert and layer over the even share; the balance is in the table"
        caption = (
            "Visits over the even share, averaged over seeds. Experts are ranked in each layer of each run, busiest "
            "first: expert 3 of one seed is not expert 3 of another, and an average by number would look even."
        )
        drawings.append(Drawing("experts", load_plot(load_maps(study, runs)), alt, caption))
    if capacity:
        grids.append(_capacity(sorted(capacity, key=lambda line: order.index(line.loss.arm))))
        alt = "Drop rate and loss against the capacity factor; the numbers are in the table"
        caption = (
            "The same weights at each capacity factor. Mean over seeds, with the band of its 95 % Student interval; no "
            "band for one seed, and a wide band may be cut at the edge."
        )
        drawings.append(Drawing("capacity", capacity_plot(capacity), alt, caption))
    return Section("Experts", tuple(failed), tuple(grids), tuple(drawings))


def _balance(rows: Sequence[HealthRow]) -> Grid:
    cells = [
        (
            row.arm,
            listing(row.num_experts),
            str(row.num_layers),
            *(level_text(row.measures[name]) for name in MEASURES),
        )
        for row in rows
    ]
    note = (
        "On validation text, averaged over a run's layers: mean over seeds with its 95 % Student interval. MaxVio: the "
        "largest load over the mean, minus 1 (Wang et al. 2024). Entropy: of the load, as a share of the largest it "
        "could be. Dead: an expert that nobody visited."
    )
    return Grid(("arm", "experts", "layers", *(HEADS[name] for name in MEASURES)), cells, note, "Balance")


def _capacity(found: Sequence[CapacityLine]) -> Grid:
    xs = sorted(set().union(*(line.factors for line in found)))
    unlimited = {line.unlimited for line in found}
    columns = ("arm", *("no limit" if x in unlimited else f"{x:g}" for x in xs))
    rows = [(line.loss.arm, *(lines(_at(line.drop_rate, x), _at(line.loss, x)) for x in xs)) for line in found]
    note = (
        "A column a capacity factor, of the same trained weights. First line: drop rate, as a share of visits. Second "
        "line: nats per token. Mean over seeds with its 95 % Student interval; lower is better for both."
    )
    return Grid(columns, rows, note, "Capacity at inference")


def _at(line: ArmBand, x: float) -> str:
    levels: dict[float, Level] = dict(zip(line.band.xs, line.band.levels, strict=True))
    return level_text(levels.get(x))
