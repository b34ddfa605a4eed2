"""Shared recipe and tuned learning rates side by side, and how sensitive each arm is."""

from __future__ import annotations

from harness.analyse import tuning
from harness.analyse.comparison import Comparison
from harness.analyse.text import interval, number, plain, signed
from harness.analyse.tuning import Sensitivity, Transfer, TunedRow
from harness.records.tuning import TuningRecord
from harness.reporting.figures.sensitivity import sensitivity_plot
from harness.reporting.section import Drawing, Grid, Material, Section

ALT = "Validation loss against peak learning rate, a line an arm; the numbers are in the table above"
CAPTION = (
    "Means over the tuning seeds. Bar and tick at the bottom: the optimum with its 95 % interval, what the arm is "
    "trained with once tuned. Cross at the top: a rate at which a run diverged. Arrow: the best rate lies on the edge."
)


def section(material: Material) -> Section | None:
    """None where nothing was tuned."""
    record = material.tuning
    if record is None:
        return None
    margin = material.study.margin
    found = tuning.sensitivities(record, margin)
    rows = tuning.tuned_rows(material.comparisons, material.tuned.comparisons if material.tuned else ())
    notes = [
        *(f"{row.words}." for row in rows),
        *(f"{told}." for told in tuning.warnings(record, found, margin)),
        tuning.widened(found),
        _transfer(tuning.transfer(record), record),
    ]
    grids = (_verdicts(rows), _rates(found, record, margin))
    drawing = Drawing("sensitivity", sensitivity_plot(found, record.center), ALT, CAPTION)
    return Section("Fair tuning", tuple(n for n in notes if n), tuple(g for g in grids if g.rows), (drawing,))


def _verdicts(rows: list[TunedRow]) -> Grid:
    columns = ("arm", "shared recipe", "difference, 95 % interval", "tuned", "difference, 95 % interval", "change")
    cells = [
        (
            row.arm,
            _word(row.shared),
            _difference(row.shared),
            _word(row.tuned),
            _difference(row.tuned),
            "n/a" if row.change is None else f"{signed(row.change.mean)}\n{interval(row.change.ci)}",
        )
        for row in rows
    ]
    note = (
        "Arm minus baseline, nats per byte, on the same evaluation seeds. Shared: every arm with the recipe of the "
        "study. Tuned: every arm, the baseline too, at its own learning rate. The change is the tuned difference minus "
        "the shared one, paired by seed."
    )
    return Grid(columns, cells, note, title="Both verdicts")


def _word(c: Comparison | None) -> str:
    return "n/a" if c is None else c.verdict or "none"


def _difference(c: Comparison | None) -> str:
    return "n/a" if c is None else f"{signed(c.mean_difference)}\n{interval(c.ci95)}"


def _rates(found: list[Sensitivity], record: TuningRecord, margin: float) -> Grid:
    columns = (
        "arm",
        "optimum",
        "95 % interval",
        "best tried",
        "trained with",
        "curvature",
        "width",
        "trials",
    )
    rows = [
        (
            s.arm,
            "n/a" if s.optimum is None else f"{record.center * 2.0**s.optimum.octaves:.3g}",
            _interval(s),
            "n/a" if s.curve.best is None else f"{s.curve.best.lr:.3g}",
            "n/a" if s.chosen is None else f"{s.chosen:.3g}",
            "n/a" if s.optimum is None else number(s.optimum.curvature),
            "n/a" if s.width is None else f"{'> ' if s.width.open else ''}{number(s.width.octaves, 1)} octaves",
            str(s.num_trials),
            str(s.num_broken),
            {"low": "on the lower edge", "high": "on the upper edge"}.get(s.curve.edge or "", ""),
        )
        for s in found
    ]
    seeds = ", ".join(map(str, record.seeds))
    note = (
        f"Tuned at {plain(record.share)} of each arm's steps on seeds {seeds}, which no verdict is taken from; a trial "
        "is a run of one seed. Optimum: the vertex of a quadratic in log rate through the 5 points around the best, "
        "its interval Fieller's. Curvature: nats per byte per octave squared. Width: rates whose loss is within "
        f"{plain(margin)} nats per byte of the best."
    )
    return Grid((*columns, "not finished", "warning"), rows, note, title="Learning rates")


def _interval(s: Sensitivity) -> str:
    """Within the rates that were tried; a parabola says nothing beyond them."""
    if s.ci95 is None:
        return "not bounded"
    first, last = s.curve.points[0].lr, s.curve.points[-1].lr
    low = f"< {first:.3g}" if s.ci95[0] < first else f"{s.ci95[0]:.3g}"
    high = f"> {last:.3g}" if s.ci95[1] > last else f"{s.ci95[1]:.3g}"
    return f"[{low}, {high}]"


def _transfer(moved: Transfer | None, record: TuningRecord) -> str:
    if moved is None:
        return ""
    tried = ", ".join(f"{rate:.3g}: {number(loss)}" for rate, loss in moved.points)
    cost = "" if moved.cost is None else f"; against the best of these the tuned rate loses {number(moved.cost)}"
    return f"At its whole budget the baseline scores, by rate, {tried} nats per byte on the tuning seeds{cost}."
