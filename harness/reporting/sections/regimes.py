"""One contrast under every matching regime, a table an arm, and the flips between them in words."""

from __future__ import annotations

from harness.analyse import regimes
from harness.analyse.regimes import NOUNS, RegimeRow
from harness.analyse.text import count, interval, p_text, signed
from harness.reporting.section import Grid, Material, Section

COLUMNS = ("equal", "verdict", "difference", "95 % interval", "p", "mismatch", "d_ff", "parameters", "tokens", "FLOPs")
NOTE = (
    "Arm minus baseline, nats per byte. Tokens, FLOPs and seconds are the arm's over the baseline's; seconds are "
    "those that the runs took, side by side with others on the machine. Equal FLOPs is the primary regime, its p-value "
    "Holm's over the arms; the other regimes are one family of their own."
)


def section(material: Material) -> Section | None:
    """None for a study of one regime."""
    rows = rows_of(material)
    if not rows:
        return None
    told = [verdict.standings for verdict in regimes.verdicts(rows)]
    margin = regimes.margin_text(material.study)
    rule = (
        "Better without qualification is an arm that is better under equal FLOPs and, under equal wall clock, excludes "
        f"a loss of more than {margin} by its 95 % interval."
    )
    arms = list(dict.fromkeys(row.arm for row in rows))
    grids = tuple(
        Grid((*COLUMNS, "seconds", "reason"), [_cells(row) for row in rows if row.arm == arm], NOTE, title=arm)
        for arm in arms
    )
    notes = [*told, rule, regimes.timing_note(material.study)]
    return Section("Matching regimes", tuple(note for note in notes if note), grids)


def rows_of(material: Material) -> list[RegimeRow]:
    """The rows of a study and of the one inside it; none where it has one regime."""
    beside = material.regimes
    runs, others = (beside.runs, beside.comparisons) if beside else ((), ())
    return regimes.regime_rows(material.study, material.runs, material.comparisons, runs, others)


def headline(material: Material) -> str | None:
    """The verdict over all regimes of a study's only arm, or how many flip; None for a study of one regime."""
    found = regimes.verdicts(rows_of(material))
    if not found:
        return None
    if len(found) == 1:
        return found[0].words
    flips = [verdict.arm for verdict in found if verdict.flips]
    better = sum(verdict.words.endswith("without qualification") for verdict in found)
    flip = f"the ranking of {count(len(flips), 'arm')} flips between regimes" if flips else "no ranking flips"
    return f"{len(found)} arms against {material.study.baseline}: {better} better without qualification; {flip}"


def _cells(row: RegimeRow) -> tuple[str, ...]:
    c, record = row.comparison, row.record
    params = record.num_params
    return (
        NOUNS[row.regime],
        row.standing if c is None else f"{row.standing}\n{c.verdict or 'no verdict'}",
        "n/a" if c is None else signed(c.mean_difference),
        "n/a" if c is None else interval(c.ci95),
        "n/a" if c is None else p_text(c.p_adjusted),
        "n/a" if record.mismatch is None else f"{record.mismatch:+.2%}",
        "n/a" if record.d_ff is None else str(record.d_ff),
        "n/a" if params is None else _params(params),
        _ratio(row.tokens),
        _ratio(row.flops),
        _ratio(row.seconds),
        f"the same runs as under equal {NOUNS[row.same_as]}" if row.same_as else row.reason,
    )


def _params(params: dict[str, int]) -> str:
    total, active = params["total"], params["active"]
    return f"{total:,}" if total == active else f"{total:,}\n{active:,} active"


def _ratio(share: float | None) -> str:
    return "n/a" if share is None else f"{share:.3f}"
