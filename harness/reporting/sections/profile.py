"""Where the time goes, by kind of operation and beside the FLOPs; the tables of the traces; the roofline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.analyse import profile, roofline
from harness.analyse.profile import KINDS, WORKS, TableRow, Work, WorkTime
from harness.analyse.quantities import percent, rounded
from harness.analyse.roofline import Roof
from harness.analyse.text import count
from harness.reporting.figures.kinds import kinds_plot
from harness.reporting.figures.roofline import roofline_plot
from harness.reporting.section import Drawing, Grid, Material, Section

TITLE = "Where the time goes"

MOST_ARMS = 8
"""Arms in the table of kinds; the figure has all."""

MOST_TRACED = 3
"""Arms in the tables of the traces."""

MOST_SENTENCES = 4
"""Arms with a sentence of their own."""

MOST_MODULES = 40
"""Rows of the roofline's table."""

COLUMNS = {
    "operators": ("operator", "arm", "calls", "own ms", "total ms"),
    "modules": ("module", "arm", "calls", "own ms", "total ms"),
    "memory": ("operator", "arm", "calls", "own KB allocated", "total KB allocated"),
}
TRACES: tuple[tuple[str, Work], ...] = (
    ("operators", "train"),
    ("operators", "decode"),
    ("modules", "train"),
    ("memory", "train"),
)


def section(material: Material) -> Section | None:
    """None when nothing was profiled."""
    measured = material.measurement("profile")
    if measured is None:
        return None
    if measured.status == "failed":
        return Section(TITLE, notes=(f"The measurement failed: {measured.reason}.",))
    detail = measured.detail
    works = [times for times in (profile.work_times(detail, work) for work in WORKS) if times]
    roof = roofline.roof(detail, [arm.name for arm in material.study.arms])
    return Section(
        TITLE,
        notes=(*_sentences(works), roofline.sentence(roof)),
        grids=(*(_kinds(times) for times in works), *_traces(detail), _modules(roof)),
        drawings=(
            Drawing("kinds", kinds_plot(works), "Milliseconds by kind of operation, a bar an arm", _KINDS_CAPTION),
            Drawing("roofline", roofline_plot(roof), "FLOPs a byte of each module under the ceilings", _ROOF_CAPTION),
        ),
    )


_KINDS_CAPTION = (
    "The quickest of the calls that were profiled, without stacks. In outline: what the clock shows beyond the "
    "operators, Python and waiting."
)
_ROOF_CAPTION = (
    "Bytes are the fewest that must move, so an intensity is an upper bound. A module that arms share is drawn once, "
    "in the colour of the first that has it."
)


def _sentences(works: Sequence[Sequence[WorkTime]]) -> list[str]:
    said = [profile.sentence(time) for times in works for time in times[:MOST_SENTENCES]]
    said += [text for text in map(profile.outside, works) if text]
    return [
        *said,
        "FLOPs are of the forward pass, time is of all of a call: a backward pass costs about twice as much.",
    ]


def _kinds(times: Sequence[WorkTime]) -> Grid:
    shown = times[:MOST_ARMS]
    with_flops = any(kind.flops_share is not None for time in shown for kind in time.kinds)
    columns = ("kind", "arm", "ms", "share of time", *(("share of FLOPs",) if with_flops else ()))
    rows = []
    for kind in profile.kinds_in(shown):
        for time in shown:
            k = time.of(kind)
            cells = (
                ("0", "0 %", "0 %")
                if k is None
                else (rounded(k.milliseconds), percent(k.share), percent(k.flops_share))
            )
            rows.append((KINDS[kind], time.arm, *cells[: len(columns) - 2]))
    for time in shown:
        rows.append(("the clock", time.arm, rounded(time.wall), *[""] * (len(columns) - 3)))
    first = times[0]
    case = f"batch {first.batch_size}, context {first.context:,}"
    note = f"{profile.arms_note(len(shown), len(times))}A {WORKS[first.work]} at {case}."
    return Grid(columns, rows, note, f"Time by kind, a {WORKS[first.work]}")


def _traces(detail: Mapping[str, Any]) -> list[Grid]:
    arms = len(detail["arms"])
    note = f"{profile.arms_note(min(MOST_TRACED, arms), arms)}"
    note += (
        "The first rows of an arm, over all the calls in its trace, which watches shapes and stacks and so is slower."
    )
    grids = []
    for name, work in TRACES:
        rows = profile.table(detail, work, name, MOST_TRACED)
        if rows:
            title = f"{name.capitalize()}, {WORKS[work]}"
            grids.append(Grid(COLUMNS[name], [_traced(row) for row in rows], note, title))
    return grids


def _traced(row: TableRow) -> tuple[str, ...]:
    name = f"{'· ' * row.depth}{row.name}"
    return name, row.arm, f"{row.calls:,}", rounded(row.own), rounded(row.total)


def _modules(roof: Roof) -> Grid:
    columns = ("module", "arms", "in a model", "FLOPs a token", "bytes a token", "FLOPs a byte", "bound by")
    rows = [
        (
            module.name,
            roofline.arms_text(module, roof),
            str(module.count),
            rounded(module.flops),
            rounded(module.num_bytes),
            rounded(module.intensity),
            {"compute": "arithmetic", None: "unknown"}.get(module.bound, module.bound or ""),
        )
        for module in roof.modules[:MOST_MODULES]
    ]
    left_out = len(roof.modules) - len(rows)
    more = f" {count(left_out, 'more row')} in measurements/profile.json." if left_out else ""
    return Grid(columns, rows, f"One module's forward pass; the fewest bytes that must move.{more}", "Roofline")
