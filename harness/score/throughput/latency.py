"""Decode latency against context as a straight line, a + b t: the honest form of "O(1) a token with a cache".

The weights are read for every token, whatever its context: a. Attention reads t keys and values: b t. b is 0 only
for layers that forget, such as a window (claim C15). Pure numbers in, pure numbers out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.score.throughput.statistics import Interval, bootstrap

FEWEST_CONTEXTS = 3
"""Two points lie on every line."""


@dataclass(frozen=True)
class LatencyFit:
    """seconds a token = a + b t, t the context; 95 % intervals.

    `equal_at` is the t at which b t = a, where the cache costs as much as the weights; None where b's interval
    reaches 0, so that there may be no such t. `residual` is the largest distance of a context's median from the line,
    as a share of that median: a line that does not fit shows there.
    """

    a: float
    b: float
    a_ci95: Interval
    b_ci95: Interval
    equal_at: float | None
    residual: float
    contexts: tuple[int, ...]
    num_blocks: int


def fit_latency(contexts: Sequence[int], seconds: Sequence[Sequence[float]]) -> LatencyFit | None:
    """The least-squares line through the medians; None for fewer than `FEWEST_CONTEXTS` contexts.

    Args:
        seconds: (contexts, blocks), seconds a token; block i of all contexts was timed in the same pass, and the
            bootstrap resamples passes.
    """
    if len(contexts) < FEWEST_CONTEXTS:
        return None
    table = np.asarray(seconds, dtype=np.float64)  # (contexts, blocks)
    assert table.shape[0] == len(contexts), (table.shape, contexts)
    t = np.asarray(contexts, dtype=np.float64)
    medians = np.median(table, axis=-1)
    a, b = line(t, medians)
    a_ci, _ = bootstrap(table, lambda rows: line(t, np.median(rows, axis=-1))[0])
    b_ci, _ = bootstrap(table, lambda rows: line(t, np.median(rows, axis=-1))[1])
    return LatencyFit(
        a=float(a),
        b=float(b),
        a_ci95=a_ci,
        b_ci95=b_ci,
        equal_at=float(a / b) if b_ci[0] > 0 and a > 0 else None,
        residual=float(np.max(np.abs(a + b * t - medians) / medians)),
        contexts=tuple(contexts),
        num_blocks=table.shape[1],
    )


def line(t: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(a, b) of the least-squares line through y (contexts, ...) at t (contexts,)."""
    centred = t - t.mean()
    b = np.tensordot(centred, y, axes=1) / (centred**2).sum()
    return y.mean(axis=0) - b * t.mean(), b
