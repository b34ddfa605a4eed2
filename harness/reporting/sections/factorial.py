"""Main effects and interactions of a factorial study, with what a fraction mixes, and the two-way means."""

from __future__ import annotations

from harness.analyse.design_effects import EffectRow, Effects, effects_of, two_way_means
from harness.analyse.factorial import Term
from harness.analyse.scores import PRIMARY, SCORES
from harness.analyse.text import count, interval, number, p_text, signed
from harness.reporting.figures.interactions import interaction_plot
from harness.reporting.section import Drawing, Grid, Material, Section

MOST_PANELS = 9
"""Pairs of factors drawn; the table has all. Assumption: three rows of three."""


def section(material: Material) -> Section | None:
    """Tables of effects and of variance, and a figure; None where the design is no factorial."""
    found = effects_of(material.study, material.runs)
    if found is None:
        return None
    told = (*found.words, *(note for note in (found.left_out, found.refused) if note))
    if not found.rows:
        return Section("Effects", told)
    panels = two_way_means(material.study, material.runs)[:MOST_PANELS]
    caption = (
        "Means over the other factors and the seeds with 95 % intervals (Loftus and Masson 1994): the residual alone, "
        "so that points can be compared though seeds differ. Lines that are not parallel interact."
    )
    drawn = interaction_plot(panels, SCORES[PRIMARY].unit) if panels else ""
    drawing = Drawing("interactions", drawn, "Two-way means of the factors' levels; the table has the effects", caption)
    grids = (_effects(found.rows, found), *([_variance(found)] if found.terms else []))
    return Section("Effects", told, grids, (drawing,) if panels else ())


def _effects(rows: tuple[EffectRow, ...], found: Effects) -> Grid:
    mixed = any(row.aliases for row in rows)
    cells = [
        (
            row.term,
            row.change,
            signed(row.estimate),
            interval(row.ci95),
            interval(row.ci95_pooled),
            p_text(row.p_adjusted),
            *([row.aliases] if mixed else []),
        )
        for row in rows
    ]
    note = (
        f"In {SCORES[PRIMARY].unit}, effect coding with {count(found.num_seeds, 'seed')} as blocks. A main effect is a "
        "level minus the baseline's, averaged over everything else; an interaction is how much one factor's effect "
        "changes when the other is switched. Interval and p are Student's over the seeds' own contrasts, so cells may "
        "spread unequally and an effect may differ between seeds; p is Holm's over this table, a family of its own. "
        "The last interval pools the residual over all cells: narrower with few seeds, and right only where all cells "
        "spread alike and no effect differs more between seeds than another."
    )
    mixed_note = " An estimate is the sum of the effect and of all it is mixed with; signs as above." if mixed else ""
    columns = ("effect", "levels", "estimate", "95 % interval", "95 % interval, pooled", "p")
    return Grid((*columns, *(["mixed with"] if mixed else [])), cells, note + mixed_note, "Effects and interactions")


def _variance(found: Effects) -> Grid:
    cells = [_term(term) for term in found.terms]
    sd = number(found.residual_sd, 5)
    note = (
        "Repeated measures over seeds: each term against its own mean square over seeds, p by Greenhouse and Geisser's "
        f"(1959) sphericity. The residual pooled over all cells has an sd of {sd}."
    )
    columns = ("term", "df", "df of its error", "mean square", "F", "sphericity", "p")
    return Grid(columns, cells, note, "Analysis of variance")


def _term(term: Term) -> tuple[str, ...]:
    size = (str(term.df), str(term.error_df), f"{term.mean_square:.3g}", f"{term.f:.3g}")
    return (" x ".join(term.factors), *size, number(term.sphericity, 2), p_text(term.p))
