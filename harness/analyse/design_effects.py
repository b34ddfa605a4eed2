"""The effects of a study's factorial design: main effects, two-way interactions, their aliases, and two-way means."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from harness.analyse.design import Table, kinds, table_of
from harness.analyse.factorial import Analysis, Cells, Factor, Term, analyse, cells_of
from harness.analyse.finite import Interval
from harness.analyse.fraction import chain_effects
from harness.analyse.text import count
from harness.records.record import StudyRecord, StudyRun
from harness.records.registration import ALPHA
from harness.spec.fraction import Fraction, fraction, say

FEWEST_SEEDS = 2
"""With a residual."""


@dataclass(frozen=True)
class EffectRow:
    """An effect in the score's unit: `change` says from which levels to which, `aliases` what it is mixed with."""

    term: str
    change: str
    estimate: float
    ci95: Interval  # over the seeds' own contrasts
    ci95_pooled: Interval  # residual pooled over cells
    p_adjusted: float
    aliases: str = ""


@dataclass(frozen=True)
class Effects:
    """The effects over the seeds that all cells finished. Without rows, `refused` says why there are none."""

    rows: tuple[EffectRow, ...]
    terms: tuple[Term, ...]  # the analysis of variance; empty for a fraction
    residual_sd: float | None
    num_seeds: int
    words: tuple[str, ...]  # the design, its aliases
    left_out: str
    refused: str = ""


@dataclass(frozen=True)
class MeansPanel:
    """The means of two factors' levels, over the others and the seeds; `half` of each interval is the same.

    The interval is Loftus and Masson's (1994, Psychon. Bull. Rev. 1:476): of the residual without seeds and cells, so
    that two points can be compared though seeds differ.
    """

    x: Factor
    lines: Factor
    means: tuple[tuple[float, ...], ...]  # by level of `lines`, then of `x`
    half: float


def effects_of(study: StudyRecord, runs: Sequence[StudyRun]) -> Effects | None:
    """The effects of a factorial study; None of another design."""
    table = table_of(study, runs)
    if table is None or "factorial" not in kinds(study):
        return None
    words = tuple(study.design.get("words", ()))[1:]  # the first names the factors
    if table.num_seeds < FEWEST_SEEDS:
        why = f"effects need at least {FEWEST_SEEDS} seeds that every cell finished, got {table.num_seeds}"
        return Effects((), (), None, table.num_seeds, words, table.left_out, why)
    design = fraction_of(study)
    if design is not None:
        return _of_fraction(table, design, words)
    found = analyse(complete(table))
    rows = tuple(
        EffectRow(say(e.factors), _change(table, e.factors, e.levels), *e[2:4], e.ci95_pooled, e.p_adjusted)
        for e in found.effects
    )
    return Effects(rows, found.terms, found.residual_sd, table.num_seeds, words, table.left_out)


def effects_headline(study: StudyRecord, runs: Sequence[StudyRun]) -> str:
    """`3 of 6 effects differ from zero; `, before the headline of the arms; empty of another design."""
    found = effects_of(study, runs)
    if found is None or not found.rows:
        return ""
    shown = sum(row.p_adjusted <= ALPHA for row in found.rows)
    return f"{shown} of {count(len(found.rows), 'effect')} {'differs' if shown == 1 else 'differ'} from zero; "


def fraction_of(study: StudyRecord) -> Fraction | None:
    """The fraction of a design that has generators."""
    generators = {name: tuple(word) for name, word in study.design.get("generators", [])}
    return fraction([factor["name"] for factor in study.design["factors"]], generators) if generators else None


def complete(table: Table) -> Cells:
    """The cells as a complete factorial.

    Raises:
        ValueError: one is missing.
    """
    named = {
        tuple(f.levels[i] for f, i in zip(table.factors, levels, strict=True)): values
        for levels, values in table.values.items()
    }
    return cells_of(table.factors, named)


def two_way_means(study: StudyRecord, runs: Sequence[StudyRun]) -> list[MeansPanel]:
    """A panel a pair of factors of a complete factorial; none of a fraction, whose means are mixed."""
    table = table_of(study, runs)
    if table is None or "factorial" not in kinds(study) or study.design.get("generators"):
        return []
    if table.num_seeds < FEWEST_SEEDS:
        return []
    cells = complete(table)
    found = analyse(cells)
    return [_panel(cells, found, i, j) for i, j in itertools.combinations(range(len(cells.factors)), 2)]


def _panel(cells: Cells, found: Analysis, i: int, j: int) -> MeansPanel:
    others = tuple(axis for axis in range(cells.values.ndim) if axis not in (i, j))
    means = cells.values.mean(axis=others)  # (levels of i, levels of j)
    averaged = cells.values.size / means.size
    half = float(stats.t.isf(0.025, found.residual_df)) * found.residual_sd / math.sqrt(averaged)
    return MeansPanel(cells.factors[i], cells.factors[j], tuple(tuple(column) for column in means.T.tolist()), half)


def _of_fraction(table: Table, design: Fraction, words: tuple[str, ...]) -> Effects:
    values = np.array([list(table.values[run].values()) for run in design.runs])
    rows = tuple(
        EffectRow(
            say(e.chain.effect),
            _change(table, e.chain.effect, [_levels(table, name)[1] for name in e.chain.effect]),
            e.estimate,
            e.ci95,
            e.ci95_pooled,
            e.p_adjusted,
            "; ".join(map(say, e.chain.aliases)),
        )
        for e in chain_effects(design, values)
    )
    return Effects(rows, (), None, table.num_seeds, words, table.left_out)


def _change(table: Table, names: Sequence[str], levels: Sequence[str]) -> str:
    return "; ".join(f"{_levels(table, name)[0]} -> {level}" for name, level in zip(names, levels, strict=True))


def _levels(table: Table, name: str) -> tuple[str, ...]:
    return next(factor.levels for factor in table.factors if factor.name == name)
