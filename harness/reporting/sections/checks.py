"""The same differences by tests that assume less, beside the verdict."""

from __future__ import annotations

from harness.analyse.checks import CheckRow, check_rows
from harness.analyse.text import interval, number, p_text, signed
from harness.reporting.cells import between
from harness.reporting.section import Grid, Material, Section


def section(material: Material) -> Section | None:
    """A table, a row a comparison; None where no arm has two pairs."""
    rows = check_rows(material.comparisons)
    if not rows:
        return None
    against = len({row.against for row in rows}) > 1
    together = any(row.together for row in rows)
    refused = list(dict.fromkeys(r for row in rows for r in (row.sign_flip.reason, row.bootstrap.reason) if r))
    note = (
        "None of these changes a verdict. Sign-flip: exact, of every pattern of signs, uncorrected. Bootstrap: "
        "studentised, over seeds. Seeds won: with the exact interval of the probability to win (Clopper and Pearson). "
        "P(improvement): that a run of the arm beats a run of the other, whatever their seeds (Agarwal et al. 2021). "
        "The standardised effect is Hedges g, with the noncentral t interval of mean over standard deviation."
    )
    columns = ["arm", *(["against"] if against else []), "sign-flip p", "bootstrap 95 %", "seeds won", "P(seed won)"]
    columns += ["P(improvement)", "Hedges g", *(["95 %, all arms at once"] if together else [])]
    cells = [_row(row, against, together) for row in rows]
    return Section("The same by other tests", tuple(f"{r}." for r in refused), (Grid(tuple(columns), cells, note),))


def _row(row: CheckRow, against: bool, together: bool) -> tuple[str, ...]:
    won = row.superiority
    total = won.wins + won.ties + won.losses
    g = row.effect
    return (
        row.arm,
        *([row.against] if against else []),
        "cannot reach 0.05" if row.sign_flip.p is None else p_text(row.sign_flip.p),
        "too few seeds" if row.bootstrap.ci is None else interval(row.bootstrap.ci),
        f"{won.wins} of {total}" + (f", {won.ties} ties" if won.ties else ""),
        f"{number(won.probability, 2)} {between(won.ci95, 2)}",
        number(row.improvement, 2),
        "no spread" if g.ci95 is None else f"{signed(g.hedges_g, 2)} {interval(g.ci95, 2)}",
        *([interval(row.together)] if together else []),
    )
