"""What each change contributes: add-one beside leave-one-out, Shapley shares, and the steps of a path."""

from __future__ import annotations

from harness.analyse.design_contributions import ContributionRow, Shares, StepRow, shares_of
from harness.analyse.scores import PRIMARY, SCORES
from harness.analyse.statistics import PairedT
from harness.analyse.text import count, interval, p_text, signed
from harness.reporting.cells import NOT_AVAILABLE
from harness.reporting.section import Grid, Material, Section


def section(material: Material) -> Section | None:
    """Tables of contributions and of steps, each where the design has its arms."""
    found = shares_of(material.study, material.runs)
    if found is None or not (found.rows or found.steps or found.refused):
        return None
    notes = [note for note in (found.left_out, found.refused) if note]
    if found.total is not None:
        notes.append(f"Everything minus {material.study.baseline}: {_text(found.total)} {SCORES[PRIMARY].unit}.")
    grids = ([_contributions(found)] if found.rows else []) + ([_path(found.steps)] if found.steps else [])
    return Section("What each change contributes", tuple(notes), tuple(grids))


def _contributions(found: Shares) -> Grid:
    last = any(row.leave_one_out for row in found.rows)
    shapley = any(row.shapley for row in found.rows)
    cells = [_row(row, last, shapley) for row in found.rows]
    note = (
        f"In {SCORES[PRIMARY].unit}, Student's 95 % interval over {count(found.num_seeds, 'seed')}, each of its own "
        "number alone. Add-one: the change alone minus the baseline."
    )
    if last:
        note += (
            " Leave-one-out: everything minus everything but the change. Their gap is how much the change interacts "
            "with the others."
        )
    if shapley:
        note += (
            " Shapley: the mean step over all orders of switching on (Shapley 1953); the shares add up to the whole, "
            "and mean little where the whole is near zero. Beside Student's interval the studentised bootstrap's."
        )
    columns = ["change", "levels", "add-one"]
    columns += ["leave-one-out", "gap"] if last else []
    columns += ["Shapley", "Shapley, bootstrap", "share"] if shapley else []
    return Grid(tuple(columns), cells, note, "Contributions")


def _row(row: ContributionRow, last: bool, shapley: bool) -> tuple[str, ...]:
    cells = [row.factor, row.change, _text(row.add_one)]
    cells += [_text(row.leave_one_out), _text(row.gap)] if last else []
    if shapley:
        bootstrap = "too few seeds" if row.shapley_bootstrap is None else interval(row.shapley_bootstrap)
        cells += [_text(row.shapley), bootstrap, NOT_AVAILABLE if row.share is None else f"{row.share:.0%}"]
    return tuple(cells)


def _path(steps: tuple[StepRow, ...]) -> Grid:
    cells = [
        (f"{i}. {row.factor}", row.change, _text(row.step), p_text(row.step.p), _text(row.so_far), row.arm)
        for i, row in enumerate(steps, start=1)
    ]
    note = (
        "A step is an arm minus the one before it; in another order the same change may bring another step. p is the "
        "step's own, uncorrected; the verdicts above are corrected for all steps."
    )
    return Grid(("step", "levels", "difference", "p", "from the start", "arm"), cells, note, "Steps of the path")


def _text(found: PairedT | None) -> str:
    return NOT_AVAILABLE if found is None else f"{signed(found.mean)} {interval(found.ci)}"
