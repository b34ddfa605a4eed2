"""A factorial study: every combination of levels over the same seeds. Main effects, two-way interactions, and whether
one-at-a-time could have been trusted.

In a complete table every effect is a contrast of cell means, equal to ordinary least squares with sum (effect) coding
(Montgomery 2017, Design and Analysis of Experiments, chapters 5 and 6). Seeds are blocks, and each effect has an error
of its own: how much its contrast differs from seed to seed, the repeated-measures analysis of variance (Winer 1971,
Statistical Principles in Experimental Design, chapter 7). It holds however the cells spread, and where an effect
differs between seeds. Both agree with statsmodels (tested).

The residual pooled over all effects has more degrees of freedom, and assumes that the cells spread alike and that no
effect differs more between seeds than another: docs/decisions/0642-each-effect-by-its-own-seeds.md.

Units: a main effect is a level minus the factor's first level, averaged over everything else. An interaction is a
difference of differences: how much one factor's effect changes when the other is switched (twice Yates's interaction).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np
from scipy import stats

from harness.analyse.finite import Interval, finite, settled, squares
from harness.analyse.statistics import holm, paired_t


@dataclass(frozen=True)
class Factor:
    """`levels[0]` is the baseline's."""

    name: str
    levels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Cells:
    """`values` (levels of the first factor, of the second, ..., seeds)."""

    factors: tuple[Factor, ...]
    seeds: tuple[int, ...]
    values: np.ndarray


class Effect(NamedTuple):
    """`levels`: the level of each factor of the term that is compared with its first.

    `ci95` and `p` are Student's over the seeds' own contrasts; `ci95_pooled` has the residual of all cells.
    """

    factors: tuple[str, ...]
    levels: tuple[str, ...]
    estimate: float
    ci95: Interval
    p: float
    p_adjusted: float  # Holm over all effects of the table
    ci95_pooled: Interval


class Term(NamedTuple):
    """A row of the analysis of variance, its error the term's own mean square over seeds.

    `sphericity` is Greenhouse and Geisser's (1959, Psychometrika 24:95) epsilon, by which `p` shrinks both degrees of
    freedom: 1 for a term of one degree.
    """

    factors: tuple[str, ...]
    df: int
    error_df: int
    mean_square: float
    f: float
    p: float
    sphericity: float


class Analysis(NamedTuple):
    effects: tuple[Effect, ...]
    terms: tuple[Term, ...]
    grand_mean: float
    residual_sd: float
    residual_df: int


def cells_of(factors: Sequence[Factor], values: Mapping[tuple[str, ...], Mapping[int, float]]) -> Cells:
    """The complete table from values by levels and seed.

    Raises:
        ValueError: a factor has one level, a cell is missing, or cells have different seeds; effects of an incomplete
            table are not those of the factors.
    """
    shape = tuple(len(factor.levels) for factor in factors)
    if not factors or min(shape) < 2:
        raise ValueError(f"every factor needs at least 2 levels, got {shape}")
    combinations = list(itertools.product(*(factor.levels for factor in factors)))
    if lacking := [" ".join(cell) for cell in combinations if cell not in values]:
        raise ValueError(f"a factorial needs every cell, {len(lacking)} are missing, the first: {lacking[0]}")
    seeds = tuple(values[combinations[0]])
    if uneven := [" ".join(cell) for cell in combinations if set(values[cell]) != set(seeds)]:
        raise ValueError(f"all cells need the same seeds, {uneven[0]} has others; keep the seeds that all cells have")
    flat = finite([[values[cell][seed] for seed in seeds] for cell in combinations], "a factorial", ndim=2)
    return Cells(tuple(factors), seeds, flat.reshape(*shape, len(seeds)))


def analyse(cells: Cells, order: int = 2, confidence: float = 0.95) -> Analysis:
    """All effects and terms of up to `order` factors.

    Raises:
        ValueError: there is 1 seed, so that no residual is left.
    """
    k, n = len(cells.factors), len(cells.seeds)
    if n < 2:
        raise ValueError(f"a factorial needs at least 2 seeds for its residual, got {n}; run more seeds")
    flat = cells.values.reshape(-1, n)
    residuals = flat - flat.mean(axis=1, keepdims=True) - flat.mean(axis=0) + flat.mean()
    df = (len(flat) - 1) * (n - 1)
    variance = squares(residuals, flat) / df
    terms = [t for size in range(1, min(order, k) + 1) for t in itertools.combinations(range(k), size)]
    raw = [_effect(cells, term, levels, variance, df, confidence) for term in terms for levels in _others(cells, term)]
    adjusted = holm([effect.p for effect in raw])
    effects = tuple(e._replace(p_adjusted=p) for e, p in zip(raw, adjusted, strict=True) if p is not None)
    rows = tuple(_term(cells, term) for term in terms)
    return Analysis(effects, rows, float(flat.mean()), math.sqrt(variance), df)


def contrast(cells: Cells, chosen: Mapping[int, int]) -> np.ndarray:
    """(cells,) weights: for each chosen factor its level minus its first level, averaged over the other factors."""
    vectors = []
    for i, factor in enumerate(cells.factors):
        size = len(factor.levels)
        vectors.append(np.eye(size)[chosen[i]] - np.eye(size)[0] if i in chosen else np.full(size, 1 / size))
    return reduce(np.multiply.outer, vectors).ravel()


def _others(cells: Cells, term: tuple[int, ...]) -> list[tuple[int, ...]]:
    return list(itertools.product(*(range(1, len(cells.factors[i].levels)) for i in term)))


def _effect(
    cells: Cells, term: tuple[int, ...], levels: tuple[int, ...], variance: float, df: int, confidence: float
) -> Effect:
    n = len(cells.seeds)
    weights = contrast(cells, dict(zip(term, levels, strict=True)))
    own = paired_t(settled(weights @ cells.values.reshape(-1, n), cells.values).tolist(), confidence)
    half = float(stats.t.isf((1 - confidence) / 2, df)) * math.sqrt(variance * float(weights @ weights) / n)
    names = tuple(cells.factors[i].name for i in term)
    named = tuple(cells.factors[i].levels[j] for i, j in zip(term, levels, strict=True))
    return Effect(names, named, own.mean, own.ci, own.p, own.p, (own.mean - half, own.mean + half))


def _term(cells: Cells, term: tuple[int, ...]) -> Term:
    """The term's orthonormal contrasts, seed by seed: their mean against their spread."""
    n = len(cells.seeds)
    basis = reduce(np.kron, [_basis(len(f.levels), i in term) for i, f in enumerate(cells.factors)])
    scores = settled(basis @ cells.values.reshape(-1, n), cells.values)  # (df, seeds)
    df, mean = len(basis), scores.mean(axis=1)
    square = n * float(mean @ mean) / df
    error = squares(scores - mean[:, None], cells.values) / (df * (n - 1))
    names = tuple(cells.factors[i].name for i in term)
    if error == 0:
        exact = (math.inf, 0.0) if mean.any() else (0.0, 1.0)
        return Term(names, df, df * (n - 1), square, *exact, 1.0)
    spread = np.cov(scores).reshape(df, df)
    epsilon = min(1.0, float(np.trace(spread) ** 2 / (df * (spread**2).sum())))
    p = float(stats.f.sf(square / error, epsilon * df, epsilon * df * (n - 1)))
    return Term(names, df, df * (n - 1), square, square / error, p, epsilon)


def _basis(levels: int, compared: bool) -> np.ndarray:
    """Orthonormal rows: the mean over the levels, or what differs between them (Helmert)."""
    rows = np.vstack([np.ones(levels), np.tri(levels - 1, levels) - np.diag(np.arange(1.0, levels), 1)[:-1]])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows[1:] if compared else rows[:1]
