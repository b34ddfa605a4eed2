"""What each arm can do: excess over the entropy floor by facet, of studies on `--data microworld`."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analyse.facets import PARTS, SCORE, FacetRow, facet_rows
from harness.analyse.levels import Level
from harness.analyse.scores import absences
from harness.analyse.text import count, interval, number, p_text, signed
from harness.reporting.cells import NOT_AVAILABLE, level_text, names
from harness.reporting.figures.facets import facet_plot
from harness.reporting.section import Drawing, Grid, Material, Section

NOTE = (
    "The text comes from a grammar that knows the probability of every character, so its entropy is a floor that is "
    "known and not estimated. Excess is a model's loss minus that floor on the same held-out documents, each scored "
    "alone; 0 is a model that is the grammar. Answers are the characters that the context tells, or for facts the "
    "world."
)


def section(material: Material) -> Section | None:
    """Tables of the excess and of its differences from the baseline, and a figure; None without such scores."""
    study, runs = material.study, material.runs
    rows = {part: facet_rows(study, runs, part) for part in PARTS}
    if not rows["answer"]:
        return None
    failed = [f"{NOT_AVAILABLE} for {names(a.arms)}: {a.reason}." for a in absences(runs, [SCORE])]
    differences = (_differences(rows[part], part, study.baseline) for part in PARTS)
    alt = "Excess nats per byte over the floor on the answers of each facet, a marker an arm with its interval"
    caption = (
        "Mean over seeds with its 95 % Student interval, hollow for one seed. At zero a model is as good as the "
        "grammar."
    )
    return Section(
        "Abilities",
        (NOTE, *failed),
        (_excess(rows["all"], rows["answer"]), *(grid for grid in differences if grid is not None)),
        (Drawing("facets", facet_plot(rows["answer"], "answers"), alt, caption),),
    )


def _excess(rows: Sequence[FacetRow], answers: Sequence[FacetRow]) -> Grid:
    by_name = {(row.arm, row.facet): row for row in answers}
    cells = []
    for row in rows:
        answer = by_name.get((row.arm, row.facet))
        cells.append(
            (
                row.arm,
                row.facet,
                number(row.floor),
                level_text(None if answer is None else answer.excess),
                level_text(row.excess),
                _share(row.right),
                str(row.excess.n),
            )
        )
    note = (
        "Nats per byte, mean over seeds with its 95 % Student interval; lower is better. The floor is of all text, "
        "that of answers is 0. The opening is the word that names a document's facet. An answer is right where each of "
        "its tokens is the likeliest."
    )
    columns = ("arm", "facet", "floor", *PARTS.values(), "answers right", "seeds")
    return Grid(columns, cells, note, "Excess over the floor")


def _differences(rows: Sequence[FacetRow], part: str, baseline: str) -> Grid | None:
    compared = [(row, row.difference) for row in rows if row.difference is not None]
    if not compared:
        return None
    cells = [
        (row.arm, row.facet, signed(d.level.mean), interval(d.level.ci95), str(d.level.n), p_text(d.p_adjusted))
        for row, d in compared
    ]
    note = (
        "Arm minus baseline in nats per byte, paired by seed; lower is better. p is Holm's, corrected for the "
        f"{count(len(compared), 'difference')} of this table; each interval is of its own difference alone."
    )
    columns = ("arm", "facet", "difference", "95 % interval", "pairs", "p")
    return Grid(columns, cells, note, f"{PARTS[part].capitalize()}, against {baseline}")


def _share(right: Level | None) -> str:
    return NOT_AVAILABLE if right is None else f"{right.mean:.1%}"
