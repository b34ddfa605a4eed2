"""Length extrapolation: loss with shorter and longer contexts than the training length, and the growth past it."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analyse.extrapolation import MODES, Gap, GrowthRow, Mode, gaps, growth_rows, panels
from harness.analyse.items import ItemComparison, as_ratio
from harness.analyse.scoreboard import arm_order
from harness.analyse.scores import absences
from harness.analyse.text import interval, listing, number, signed
from harness.reporting.cells import NOT_AVAILABLE, between, lines, names
from harness.reporting.figures.extrapolation import extrapolation_plot
from harness.reporting.section import Drawing, Grid, Material, Section

_METHOD = (
    "Every length is scored on the same target tokens. Sliding: each target sees nearly the whole context, so a change "
    "is the context's doing. Non-overlapping: the text is cut into windows, and a longer window gains because fewer "
    "targets stand near its beginning, whatever the positions do."
)

_WINDOWS: dict[Mode, str] = {"sliding": "sliding windows", "non-overlapping": "non-overlapping windows"}


def section(material: Material) -> Section | None:
    """Figure and tables; None where extrapolation was not scored."""
    study, runs = material.study, material.runs
    drawn = panels(study, runs)
    order = arm_order(study, material.comparisons)
    tables = [_grid(mode, growth_rows(study, runs, order, mode)) for mode in MODES]
    grids = tuple(grid for grid in tables if grid.rows)
    failed = [f"{NOT_AVAILABLE} for {names(a.arms)}: {a.reason}." for a in absences(runs, [_NAME]) if _failed(a.reason)]
    if not drawn and not grids and not failed:
        return None
    missing = [_gap(gap) for gap in gaps(study, runs)]
    caption = (
        "Mean over seeds: solid, sliding windows; dashed, non-overlapping windows. The band is the 95 % Student "
        "interval over seeds; no band for one seed, and a wide band may be cut at the edge. A panel a position "
        "variant, all on the same axes."
    )
    alt = "Validation loss against context over training length; growth past it is in the table"
    drawings = (Drawing("extrapolation", extrapolation_plot(drawn), alt, caption),) if drawn else ()
    return Section("Length extrapolation", (_METHOD, *missing, *failed), grids, drawings)


_NAME = "extrapolation"


def _failed(reason: str) -> bool:
    return reason.startswith("failed: ")


def _gap(gap: Gap) -> str:
    ratios = listing(f"{ratio:g}x" for ratio in gap.ratios)
    return f"{NOT_AVAILABLE} at {ratios} for {names(gap.arms)}: {gap.reason}."


def _grid(mode: Mode, rows: Sequence[GrowthRow]) -> Grid:
    ratios = list(dict.fromkeys(ratio for row in rows for ratio in row.growth))
    columns = ("arm", "training length, tokens", *(f"{ratio:g}x" for ratio in sorted(ratios)))
    cells = [(row.arm, f"{row.train:,}", *(_cell(row.growth.get(ratio)) for ratio in sorted(ratios))) for row in rows]
    note = (
        "First line: nats per token more than with the training length, lower is better. Second line: the ratio of "
        "perplexities, its exponential. The 95 % intervals count seeds and blocks of text as crossed random effects; "
        "with one seed, blocks alone."
    )
    return Grid(columns, cells, note, f"Growth against 1x, {_WINDOWS[mode]}")


def _cell(growth: ItemComparison | None) -> str:
    if growth is None:
        return NOT_AVAILABLE
    ratio, ends = as_ratio(growth)
    return lines(
        f"{signed(growth.mean)} {interval(growth.ci95)}",
        f"ratio {number(ratio, 3)}" + (f" {between(ends, 3)}" if ends else ""),
    )
