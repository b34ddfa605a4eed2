"""Variance components against statsmodels' mean squares, and their intervals by simulated coverage."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from harness.analyse import variance as ours


def draw(rng: np.random.Generator, shape: tuple[int, int, int], sds: tuple[float, float, float, float]) -> np.ndarray:
    a, b, r = shape
    init, order, both, hardware = sds
    return (
        1.6
        + rng.normal(0, init, (a, 1, 1))
        + rng.normal(0, order, (1, b, 1))
        + rng.normal(0, both, (a, b, 1))
        + rng.normal(0, hardware, (a, b, r))
    )


def test_the_components_solve_the_expected_mean_squares_of_statsmodels() -> None:
    table = draw(np.random.default_rng(0), (4, 3, 2), (0.02, 0.01, 0.01, 0.004))
    rows = [{"init": i, "order": j, "y": table[i, j, k]} for i, j, k in np.ndindex(*table.shape)]
    anova = anova_lm(ols("y ~ C(init) * C(order)", pd.DataFrame(rows)).fit())
    squares = (anova["sum_sq"] / anova["df"]).to_dict()
    init, order, both, hardware, total = ours.crossed(table)
    ms_both = squares["C(init):C(order)"]
    assert hardware.variance == pytest.approx(squares["Residual"])
    assert both.variance == pytest.approx(max(0, (ms_both - squares["Residual"]) / 2))
    assert init.variance == pytest.approx(max(0, (squares["C(init)"] - ms_both) / 6))
    assert order.variance == pytest.approx(max(0, (squares["C(order)"] - ms_both) / 8))
    assert [c.source for c in (init, order, both, hardware)] == ["init", "data order", "interaction", "hardware"]
    raw = squares["C(init)"] / 6 + squares["C(order)"] / 8 + ms_both * (1 - 1 / 4 - 1 / 3) / 2 + squares["Residual"] / 2
    assert total.variance == pytest.approx(raw)
    assert init.sd == math.sqrt(init.variance)


def test_without_reruns_the_machine_and_the_interaction_are_one_residual() -> None:
    table = draw(np.random.default_rng(1), (4, 3, 1), (1, 1, 1, 1))
    init, _, residual, total = ours.crossed(table)
    assert residual.source == "residual"
    assert residual.df == 6
    positive = (init, residual)
    assert all(c.ci95[0] <= c.variance <= c.ci95[1] for c in (*positive, total))


@pytest.mark.parametrize("sds", [(1.0, 0.5, 0.3, 0.5), (0.0, 1.0, 1.0, 0.2)])
def test_the_intervals_cover(sds: tuple[float, float, float, float]) -> None:
    rng = np.random.default_rng(2)
    truth = {name: sd**2 for name, sd in zip(("init", "data order", "interaction", "hardware"), sds, strict=True)}
    truth["total"] = sum(truth.values())
    held = dict.fromkeys(truth, 0)
    for _ in range(300):
        for part in ours.crossed(draw(rng, (5, 4, 2), sds)):
            held[part.source] += part.ci95[0] <= truth[part.source] <= part.ci95[1]
    assert all(0.91 <= count / 300 <= 1.0 for count in held.values()), held  # standard error 0.013


def test_an_interval_reaches_zero_exactly_where_the_f_test_does() -> None:
    rng = np.random.default_rng(6)
    noise = rng.normal(0, 1, (5, 4, 1))
    noise -= noise.mean(axis=0) + noise.mean(axis=1, keepdims=True) - noise.mean()
    rows = (np.arange(5) - 2.0)[:, None, None]
    residual = float((noise**2).sum()) / 12

    def init(ratio: float) -> ours.Component:
        scale = math.sqrt(ratio * residual * 4 / (4 * float((rows**2).sum())))  # MS = b sum(rows^2) / (a - 1)
        return ours.crossed(noise + scale * rows)[0]

    for tail, end in ((0.975, 0), (0.025, 1)):
        critical = float(stats.f.ppf(tail, 4, 12))
        assert init(critical * 1.001).ci95[end] > 0
        assert init(critical * 0.999).ci95[end] == 0


def test_the_total_of_one_source_alone_has_its_chi_square_interval() -> None:
    rows = np.array([1.0, 2.0, 4.0, 3.0])[:, None, None] + np.zeros((1, 3, 1))
    total = ours.crossed(rows)[-1]
    variance = float(np.var([1, 2, 4, 3], ddof=1))
    assert total.variance == pytest.approx(variance)
    assert total.ci95 == pytest.approx(tuple(3 * variance / stats.chi2.ppf([0.975, 0.025], 3)))


def test_on_average_the_components_are_the_truth() -> None:
    rng = np.random.default_rng(3)
    parts = np.array(
        [[c.variance for c in ours.crossed(draw(rng, (6, 6, 2), (2.0, 1.0, 1.0, 0.5)))] for _ in range(300)]
    )
    assert parts.mean(axis=0) == pytest.approx([4, 1, 1, 0.25, 6.25], rel=0.12)


def test_one_at_a_time_is_the_pooled_variance_with_its_chi_square_interval() -> None:
    found = ours.within([[1.0, 1.2, 0.9], [2.0, 2.3], [5.0]], "hardware")
    assert found.df == 3
    assert found.variance == pytest.approx((2 * np.var([1, 1.2, 0.9], ddof=1) + np.var([2, 2.3], ddof=1)) / 3)
    assert found.ci95 == pytest.approx(tuple(3 * found.variance / stats.chi2.ppf([0.975, 0.025], 3)))
    rng = np.random.default_rng(4)
    held = [ours.within(rng.normal(0, 2, (3, 3)).tolist(), "x").ci95 for _ in range(800)]
    assert np.mean([low <= 4 <= high for low, high in held]) == pytest.approx(0.95, abs=0.025)


def test_a_deterministic_machine_has_no_noise() -> None:
    found = ours.within([[0.1] * 3, [0.2] * 2], "hardware")
    assert (found.variance, found.ci95) == (0.0, (0.0, 0.0))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.floats(0.1, 10), st.floats(-5, 5))
def test_components_scale_with_the_square_and_ignore_the_mean(seed: int, scale: float, shift: float) -> None:
    table = np.random.default_rng(seed).normal(0, 1, (3, 3, 2))
    for one, other in zip(ours.crossed(table), ours.crossed(table * scale + shift), strict=True):
        assert other.variance == pytest.approx(one.variance * scale**2, abs=1e-9)
        assert other.ci95 == pytest.approx((one.ci95[0] * scale**2, one.ci95[1] * scale**2), rel=1e-6, abs=1e-9)


def test_an_incomplete_design_is_refused() -> None:
    table = np.ones((3, 3, 1))
    table[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="finite values"):
        ours.crossed(table)
    with pytest.raises(ValueError, match="at least 2 rows"):
        ours.crossed(np.ones((1, 3, 1)))
    with pytest.raises(ValueError, match="at least 2 data seeds, got 1"):
        ours.crossed(np.ones((3, 1, 2)))
    with pytest.raises(ValueError, match="a group of at least 2 runs, got 2 groups of 1"):
        ours.within([[1.0], [2.0]], "hardware")
