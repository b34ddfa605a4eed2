"""Medians and log-ratios of made-up blocks whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.score.throughput.statistics import bootstrap, log_ratio, summary


def test_a_constant_ratio_has_no_width() -> None:
    drift = np.linspace(1.0, 9.0, 30)  # the machine grows nine times slower, for both alike
    ratio = log_ratio(drift, drift / 1.05)
    assert ratio.median == pytest.approx(math.log(1.05))
    assert ratio.ci95 == pytest.approx((math.log(1.05),) * 2)
    assert ratio.percent == pytest.approx((5.0, 5.0, 5.0))
    assert ratio.num_blocks == 30


def test_fewer_seconds_is_faster() -> None:
    assert log_ratio([2.0, 2.0], [1.0, 1.0]).median == pytest.approx(math.log(2))
    assert log_ratio([1.0, 1.0], [2.0, 2.0]).percent[0] == pytest.approx(-50.0)


def test_medians_and_quartiles() -> None:
    made = summary([5.0, 1.0, 2.0, 4.0, 3.0])
    assert (made.median, made.quartiles, made.num_blocks) == (3.0, (2.0, 4.0), 5)
    assert made.ci95[0] <= 3.0 <= made.ci95[1]


def test_one_slow_block_does_not_move_the_median() -> None:
    rng = np.random.default_rng(1)
    first = rng.normal(1.0, 0.01, 30)
    other = first.copy()
    other[7] = 100.0
    assert log_ratio(first, other).median == 0.0


def test_the_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    truth, hits = math.log(1.02), 0
    for _ in range(200):
        first = rng.lognormal(0.0, 0.1, 30)
        other = first * np.exp(-truth + rng.normal(0.0, 0.03, 30))
        low, high = log_ratio(first, other).ci95
        hits += low <= truth <= high
    assert 0.89 <= hits / 200 <= 0.99  # three standard errors of 0.95 are 0.046


def test_intervals_repeat_and_nest() -> None:
    values = np.random.default_rng(3).normal(size=30)
    (low, high), (low90, high90) = bootstrap(values, lambda rows: np.median(rows, axis=-1))
    assert bootstrap(values, lambda rows: np.median(rows, axis=-1))[0] == (low, high)
    assert low <= low90 <= high90 <= high


def test_what_cannot_be_compared_is_refused() -> None:
    for first, other, match in (([1.0], [1.0], "at least 2"), ([1.0, 2.0], [1.0, 2.0, 3.0], "pass by pass")):
        with pytest.raises(ValueError, match=match):
            log_ratio(first, other)
    for wrong in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="positive and finite"):
            summary([1.0, wrong])
