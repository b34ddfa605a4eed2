"""The estimates of a fractional factorial: what each chain of aliased effects adds up to, with seeds as blocks.

The runs, and which effects they mix, are in spec/fraction.py. Box, Hunter and Hunter (2005), chapter 6.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from harness.analyse.finite import Interval, finite, settled, squares
from harness.analyse.statistics import holm, paired_t
from harness.spec.fraction import Chain, Fraction, chains


class ChainEffect(NamedTuple):
    """The sum of a chain's effects, in the unit of its first (analyse/factorial.py), by the seeds' own contrasts."""

    chain: Chain
    estimate: float
    ci95: Interval
    p: float
    p_adjusted: float  # Holm over all chains
    ci95_pooled: Interval  # with the residual of all runs; analyse/factorial.py says what that assumes


def chain_effects(
    design: Fraction, values: np.ndarray, order: int = 2, confidence: float = 0.95
) -> tuple[ChainEffect, ...]:
    """The estimate of each chain from (runs, seeds) values, rows in the order of `design.runs`."""
    table = finite(values, "a fractional factorial", ndim=2)
    count, n = table.shape
    if count != len(design.runs) or n < 2:
        raise ValueError(f"the design needs {len(design.runs)} runs of at least 2 seeds, got shape {table.shape}")
    residuals = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    df = (count - 1) * (n - 1)
    sd = math.sqrt(squares(residuals, table) / df)
    signs = 2.0 * np.array(design.runs) - 1.0
    found = []
    for chain in chains(design, order):
        columns = [design.factors.index(name) for name in chain.effect]
        unit = 2.0 ** len(columns)  # a contrast of means is 2 half-effects; an interaction is a difference of these
        by_seed = unit * (signs[:, columns].prod(axis=1) @ table) / count  # (seeds,)
        own = paired_t(settled(by_seed, table).tolist(), confidence)
        half = float(stats.t.isf((1 - confidence) / 2, df)) * unit * sd / math.sqrt(count * n)
        found.append(ChainEffect(chain, own.mean, own.ci, own.p, own.p, (own.mean - half, own.mean + half)))
    adjusted = holm([effect.p for effect in found])
    return tuple(e._replace(p_adjusted=p) for e, p in zip(found, adjusted, strict=True) if p is not None)
