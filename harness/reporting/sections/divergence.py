"""Runs that diverged, by intention to treat: every planned run counts."""

from __future__ import annotations

from harness.analyse.divergence import Rate
from harness.analyse.intention import IntentionRow, cap_of, intention_rows
from harness.analyse.scores import PRIMARY, SCORES
from harness.analyse.statistics import PairedT
from harness.analyse.text import interval, number, p_text, signed
from harness.reporting.cells import between
from harness.reporting.section import Grid, Material, Section


def section(material: Material) -> Section | None:
    """A table, a row an arm whose runs, or whose baseline's, diverged; None where none did."""
    rows = intention_rows(material.study, material.runs, material.comparisons)
    if not rows:
        return None
    note = (
        f"Capped: every planned run counts, a diverged one as {number(cap_of(material.study))} "
        f"{SCORES[PRIMARY].unit}, the loss of equal odds for all tokens. Finished pairs: a selection, shown beside it. "
        "Where the two disagree, divergence is the finding. p of the rates is McNemar's, exact, over seeds; capped "
        "losses are not normal, so the sign-flip p stands beside the interval. Neither gives a verdict."
    )
    columns = ("arm", "against", "diverged", "diverged, other", "p of the rates", "capped difference", "sign-flip p")
    grid = Grid((*columns, "finished pairs"), [_row(row) for row in rows], note)
    return Section("Divergence, by intention to treat", (), (grid,))


def _row(row: IntentionRow) -> tuple[str, ...]:
    found = row.found
    flip = found.capped_sign_flip.p
    return (
        row.arm,
        row.against,
        _rate(found.arm),
        _rate(found.baseline),
        p_text(found.divergence.p),
        _difference(found.capped, row.pairs),
        "cannot reach 0.05" if flip is None else p_text(flip),
        _difference(found.completers, found.num_completers),
    )


def _rate(rate: Rate) -> str:
    return f"{rate.diverged} of {rate.runs} {between(rate.ci95, 2)}"


def _difference(found: PairedT | None, pairs: int) -> str:
    return f"none of {pairs}" if found is None else f"{signed(found.mean)} {interval(found.ci)} ({pairs} pairs)"
