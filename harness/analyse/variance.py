"""Where does the noise of a run come from? Variance components of the baseline alone: initialisation, data order, the
machine (the same seeds run again), and what these do together.

Two designs. Crossed: every init seed with every data seed, once or several times (`crossed`), a random-effects analysis
of variance by the method of moments (Searle, Casella and McCulloch 1992, chapter 4). One at a time: runs that differ in
a single source, in groups (`within`), whose variance has the chi-square interval.

Intervals of a difference of mean squares: Ting, Burdick, Graybill, Jeyaratnam and Lu (1990), J. Stat. Comput. Simul.
35:135; of their sum: Graybill and Wang (1980), JASA 75:869; both in Burdick and Graybill (1992), Confidence Intervals
on Variance Components, chapter 3. They need normal values and cover about what they say at any n (simulated, tested).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from harness.analyse.finite import Interval, finite


class Component(NamedTuple):
    """A variance with its interval, in the score's unit squared; `df` of the mean square it rests on."""

    source: str
    variance: float  # 0 where the estimate is negative
    ci95: Interval
    df: int

    @property
    def sd(self) -> float:
        return math.sqrt(self.variance)


class MeanSquare(NamedTuple):
    value: float
    df: int


def crossed(table: np.ndarray, confidence: float = 0.95) -> tuple[Component, ...]:
    """Components of (init seeds, data seeds, reruns), the last axis 1 where nothing was run twice.

    One run a cell: init, data order, residual (their interaction and the machine together), total. With reruns: init,
    data order, interaction, hardware, total. The total is the variance of a run with all seeds drawn anew.

    Raises:
        ValueError: fewer than 2 init or data seeds, or a value that is not finite: the design is complete.
    """
    values = finite(table, "variance components", ndim=3)
    inits, orders, reruns = values.shape
    if orders < 2:
        raise ValueError(f"variance components need at least 2 data seeds, got {orders}; run more")
    ms_init, ms_order, ms_both, ms_within = _mean_squares(values)
    b_r, a_r = orders * reruns, inits * reruns
    parts = [
        _difference("init", ms_init, ms_both, b_r, confidence),
        _difference("data order", ms_order, ms_both, a_r, confidence),
    ]
    weights = [1 / b_r, 1 / a_r, (1 - 1 / inits - 1 / orders) / reruns]
    squares = [ms_init, ms_order, ms_both]
    if ms_within is None:
        parts.append(_single("residual", ms_both, confidence))
    else:
        parts.append(_difference("interaction", ms_both, ms_within, reruns, confidence))
        parts.append(_single("hardware", ms_within, confidence))
        weights.append(1 - 1 / reruns)
        squares.append(ms_within)
    return (*parts, _sum("total", weights, squares, confidence))


def within(groups: Sequence[Sequence[float]], source: str, confidence: float = 0.95) -> Component:
    """The pooled variance of groups of runs that differ in `source` alone; a group of 1 says nothing and is passed.

    Raises:
        ValueError: no group has two runs.
    """
    arrays = [finite(group, f"the variance of {source}", least=1) for group in groups]
    df = sum(len(group) - 1 for group in arrays)
    if df < 1:
        raise ValueError(f"the variance of {source} needs a group of at least 2 runs, got {len(arrays)} groups of 1")
    squares = sum(0.0 if np.ptp(group) == 0 else float(((group - group.mean()) ** 2).sum()) for group in arrays)
    return _single(source, MeanSquare(squares / df, df), confidence)


def _mean_squares(values: np.ndarray) -> tuple[MeanSquare, MeanSquare, MeanSquare, MeanSquare | None]:
    a, b, r = values.shape
    cells = values.mean(axis=2)
    rows, columns, grand = cells.mean(axis=1), cells.mean(axis=0), cells.mean()
    residuals = cells - rows[:, None] - columns + grand
    inside = float(((values - cells[:, :, None]) ** 2).sum())
    return (
        MeanSquare(b * r * float(((rows - grand) ** 2).sum()) / (a - 1), a - 1),
        MeanSquare(a * r * float(((columns - grand) ** 2).sum()) / (b - 1), b - 1),
        MeanSquare(r * float((residuals**2).sum()) / ((a - 1) * (b - 1)), (a - 1) * (b - 1)),
        MeanSquare(inside / (a * b * (r - 1)), a * b * (r - 1)) if r > 1 else None,
    )


def _single(source: str, square: MeanSquare, confidence: float) -> Component:
    """df s^2 / σ^2 is chi-square."""
    tail = (1 - confidence) / 2
    scale = square.value * square.df
    ci = scale / float(stats.chi2.isf(tail, square.df)), scale / float(stats.chi2.ppf(tail, square.df))
    return Component(source, square.value, ci, square.df)


def _sum(source: str, weights: Sequence[float], squares: Sequence[MeanSquare], confidence: float) -> Component:
    """Graybill and Wang: estimate - √Σ(G c MS)², estimate + √Σ(H c MS)²."""
    tail = (1 - confidence) / 2
    terms = [weight * square.value for weight, square in zip(weights, squares, strict=True)]
    low = math.sqrt(sum((_g(square.df, tail) * term) ** 2 for term, square in zip(terms, squares, strict=True)))
    high = math.sqrt(sum((_h(square.df, tail) * term) ** 2 for term, square in zip(terms, squares, strict=True)))
    return Component(source, sum(terms), (sum(terms) - low, sum(terms) + high), min(square.df for square in squares))


def _difference(source: str, q: MeanSquare, r: MeanSquare, divisor: int, confidence: float) -> Component:
    """(MS_q - MS_r) / divisor with the interval of Ting et al.; its ends are not below 0."""
    tail = (1 - confidence) / 2
    g_q, h_q, g_r, h_r = _g(q.df, tail), _h(q.df, tail), _g(r.df, tail), _h(r.df, tail)
    above, below = float(stats.f.isf(tail, q.df, r.df)), float(stats.f.ppf(tail, q.df, r.df))
    g_qr = ((above - 1) ** 2 - g_q**2 * above**2 - h_r**2) / above
    h_qr = ((1 - below) ** 2 - h_q**2 * below**2 - g_r**2) / below
    low = (g_q * q.value) ** 2 + (h_r * r.value) ** 2 + g_qr * q.value * r.value
    high = (h_q * q.value) ** 2 + (g_r * r.value) ** 2 + h_qr * q.value * r.value
    estimate = q.value - r.value
    ends = estimate - math.sqrt(max(0.0, low)), estimate + math.sqrt(max(0.0, high))
    return Component(
        source,
        max(0.0, estimate / divisor),
        (max(0.0, ends[0] / divisor), max(0.0, ends[1] / divisor)),
        q.df,
    )


def _g(df: int, tail: float) -> float:
    return 1 - df / float(stats.chi2.isf(tail, df))


def _h(df: int, tail: float) -> float:
    return df / float(stats.chi2.ppf(tail, df)) - 1
