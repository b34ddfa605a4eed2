"""Bootstrap intervals: against scipy and closed forms, and what they cover by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from harness.analyse import bootstrap as ours
from harness.analyse.items import clustered_standard_error, hierarchical


def covered(draws: np.ndarray, truth: float, method: str) -> float:
    """Share of rows whose interval holds the truth."""
    intervals = [getattr(ours, method)(row.tolist(), draws=399).ci for row in draws]
    return float(np.mean([low <= truth <= high for low, high in intervals]))


def test_the_studentised_interval_covers_a_normal_and_a_skewed_mean() -> None:
    rng = np.random.default_rng(0)
    assert covered(rng.normal(0, 1, (700, 6)), 0.0, "studentised") == pytest.approx(0.945, abs=0.025)
    skewed = rng.exponential(1, (700, 8))
    own = covered(skewed, 1.0, "studentised")
    half = stats.t.isf(0.025, 7) * skewed.std(axis=1, ddof=1) / math.sqrt(8)
    students = float((np.abs(skewed.mean(axis=1) - 1) <= half).mean())
    assert own > students + 0.02, "what studentising by resampling gains over Student's t"


def test_percentiles_of_5_seeds_would_cover_too_little() -> None:
    rng = np.random.default_rng(1)
    draws = rng.normal(0, 1, (1000, 5))
    means = draws[:, rng.integers(0, 5, (499, 5))].mean(axis=2)
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    assert ((low <= 0) & (high >= 0)).mean() < 0.88, "why they are refused"


@pytest.mark.parametrize(("method", "fewest"), [("studentised", 5), ("bca", 10)])
def test_too_few_seeds_are_refused_with_the_reason(method: str, fewest: int) -> None:
    values = np.arange(fewest, dtype=float)
    refused = getattr(ours, method)(values[:-1].tolist())
    assert refused.ci is None
    assert refused.estimate == values[:-1].mean()
    assert f"over {fewest - 1} seeds covers too little; use Student's t, or run {fewest} seeds" in refused.reason
    assert getattr(ours, method)(values.tolist()).ci is not None


def test_the_studentised_interval_is_the_definition() -> None:
    values = np.array([0.1, 0.4, -0.2, 0.3, 0.9, 0.35])
    rng = np.random.default_rng(5)
    drawn = values[rng.integers(0, 6, (199, 6))]
    t = [math.sqrt(6) * (row.mean() - values.mean()) / row.std(ddof=1) for row in drawn]
    t = np.sort(t)
    error = values.std(ddof=1) / math.sqrt(6)
    expected = (
        values.mean() - t[math.ceil(0.975 * 199) - 1] * error,
        values.mean() - t[math.ceil(0.025 * 199) - 1] * error,
    )
    assert ours.studentised(values.tolist(), draws=199, seed=5).ci == pytest.approx(expected)


def test_bca_is_scipys_and_repeats() -> None:
    values = np.random.default_rng(2).exponential(1, 15)
    found = ours.bca(values.tolist())
    reference = stats.bootstrap((values,), np.mean, method="BCa", rng=np.random.default_rng(9)).confidence_interval
    assert found.ci == pytest.approx((reference.low, reference.high), abs=0.03)
    assert found == ours.bca(values.tolist())


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_no_spread_is_a_point(value: float) -> None:
    for method in (ours.studentised, ours.bca):
        assert method([value] * 12).ci == pytest.approx((value, value), abs=1e-15)
    assert ours.two_level(np.full((6, 8), value), draws=20).ci == pytest.approx((value, value), abs=1e-15)


def test_nonsense_is_refused() -> None:
    for method in (ours.studentised, ours.bca):
        with pytest.raises(ValueError, match="finite values"):
            method([math.nan] * 12)
    with pytest.raises(ValueError, match="finite values"):
        ours.two_level(np.full((6, 6), np.nan))
    with pytest.raises(ValueError, match="one weight above 0 for each of 6 items"):
        ours.two_level(np.zeros((6, 6)), [1.0, 2.0])
    assert "over 4 seeds covers too little" in ours.two_level(np.eye(4, 9)).reason
    assert "over 3 items covers too little" in ours.two_level(np.eye(9, 3)).reason


def test_the_crossed_error_of_one_source_is_its_clustered_error() -> None:
    rng = np.random.default_rng(3)
    weights = rng.uniform(1, 5, 40)
    items = np.tile(rng.normal(0, 1, 40), (6, 1))
    names = [str(i) for i in range(40)]
    ones = np.ones(6), np.ones(40)
    assert ours.crossed_error(items, *ones, weights) == pytest.approx(
        clustered_standard_error(items[0], names, weights)
    )
    seeds = np.repeat(rng.normal(0, 1, 6)[:, None], 40, axis=1)
    assert ours.crossed_error(seeds, *ones, weights) == pytest.approx(seeds[:, 0].std(ddof=1) / math.sqrt(6))


def test_the_crossed_error_is_that_of_the_analysis_of_variance() -> None:
    rng = np.random.default_rng(7)
    table = rng.normal(0, 1, (6, 1)) + rng.normal(0, 3, (1, 30)) + rng.normal(0, 1, (6, 30))
    weights, names = rng.uniform(1, 3, 30), [str(i) for i in range(30)]
    reference = hierarchical("table", "loss", table, names, weights)
    assert min(reference.components.seeds or 0, reference.components.items or 0) > 0, "no component cut off at zero"
    assert ours.crossed_error(table, np.ones(6), np.ones(30), weights) == pytest.approx(reference.standard_error)


def test_how_often_a_row_was_drawn_is_the_row_so_many_times() -> None:
    rng = np.random.default_rng(4)
    values, weights = rng.normal(0, 1, (5, 7)), rng.uniform(1, 2, 7)
    rows, columns = np.array([2, 0, 1, 1, 1]), np.array([1, 3, 0, 1, 1, 0, 1])
    repeated = values.repeat(rows, axis=0).repeat(columns, axis=1)
    expected = ours.crossed_error(repeated, np.ones(5), np.ones(7), weights.repeat(columns))
    assert ours.crossed_error(values, rows, columns, weights) == pytest.approx(expected)


@pytest.mark.parametrize(("s_seed", "s_item", "s_both"), [(1.0, 1.0, 1.0), (1.0, 0.2, 3.0), (0.1, 2.0, 1.0)])
def test_two_levels_cover_whatever_the_source_of_spread(s_seed: float, s_item: float, s_both: float) -> None:
    rng = np.random.default_rng(6)
    held = []
    for _ in range(150):
        table = rng.normal(0, s_seed, (6, 1)) + rng.normal(0, s_item, (1, 30)) + rng.normal(0, s_both, (6, 30))
        ci = ours.two_level(table, draws=199).ci
        assert ci is not None
        held.append(ci[0] <= 0 <= ci[1])
    assert 0.90 <= np.mean(held) <= 1.0, "standard error 0.018"
