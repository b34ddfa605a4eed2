"""The line through made-up latencies."""

from __future__ import annotations

import numpy as np
import pytest

from harness.score.throughput.latency import fit_latency

CONTEXTS = (64, 128, 256, 512, 1024)


def table(a: float, b: float, *, noise: float = 0.0, blocks: int = 30) -> np.ndarray:
    rng = np.random.default_rng(0)
    line = a + b * np.array(CONTEXTS)[:, None]
    return line * (1 + noise * rng.standard_normal((len(CONTEXTS), blocks)))


def test_a_line_is_found_exactly() -> None:
    fit = fit_latency(CONTEXTS, table(1e-3, 2e-6).tolist())
    assert fit is not None
    assert (fit.a, fit.b, fit.equal_at) == pytest.approx((1e-3, 2e-6, 500.0))
    assert fit.residual < 1e-12
    assert (fit.contexts, fit.num_blocks) == (CONTEXTS, 30)


def test_intervals_hold_the_truth_under_noise() -> None:
    fit = fit_latency(CONTEXTS, table(1e-3, 2e-6, noise=0.05).tolist())
    assert fit is not None
    assert fit.a_ci95[0] < 1e-3 < fit.a_ci95[1]
    assert fit.b_ci95[0] < 2e-6 < fit.b_ci95[1]
    assert fit.b_ci95[0] > 0


def test_a_flat_latency_has_no_place_where_the_cache_costs_as_much() -> None:
    fit = fit_latency(CONTEXTS, table(1e-3, 0.0, noise=0.05).tolist())
    assert fit is not None
    assert fit.b_ci95[0] < 0 < fit.b_ci95[1]
    assert fit.equal_at is None


def test_what_is_no_line_has_a_residual() -> None:
    bent = np.array(CONTEXTS)[:, None] ** 2 * np.ones((1, 30))
    fit = fit_latency(CONTEXTS, bent.tolist())
    assert fit is not None
    assert fit.residual > 0.5


@pytest.mark.parametrize("contexts", [(), (64,), (64, 128)])
def test_too_few_contexts_have_no_fit(contexts: tuple[int, ...]) -> None:
    assert fit_latency(contexts, [[1.0, 1.0] for _ in contexts]) is None
