"""What the statistics refuse, and the intervals of a proportion against statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from harness.analyse import finite as ours


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="a test needs finite values, got 1 that are not"):
        ours.finite([1.0, bad], "a test")


@pytest.mark.parametrize(("values", "ndim"), [([1.0], 1), ([[1.0], [2.0]], 1), ([], 1), (np.zeros((3, 0)), 2)])
def test_the_shape_and_the_number_of_rows_are_asked_for(values: list[float], ndim: int) -> None:
    with pytest.raises(ValueError, match=f"a test needs {ndim} axes and at least 2 rows"):
        ours.finite(values, "a test", ndim=ndim)
    assert ours.finite([1], "a test", least=1).dtype == np.float64


def test_rounding_is_no_spread() -> None:
    values = np.array([0.1 + 0.2, 0.3])
    assert values[0] != values[1]
    assert ours.squares(values - values.mean(), values) == 0
    assert ours.squares(np.array([3.0, -4.0]), np.array([10.0, 3.0])) == 25


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, math.nan])
def test_a_level_lies_between_0_and_1(alpha: float) -> None:
    with pytest.raises(ValueError, match="a level lies between 0 and 1"):
        ours.level(alpha)


@pytest.mark.parametrize(("k", "n"), [(0, 8), (3, 8), (8, 8), (17, 840)])
def test_the_exact_interval_is_statsmodels(k: int, n: int) -> None:
    assert ours.binomial_interval(k, n) == pytest.approx(proportion_confint(k, n, method="beta"), abs=1e-9)
    assert ours.binomial_interval(0, 0) == (0, 1)
    with pytest.raises(ValueError, match=f"between 0 and the {n} trials"):
        ours.binomial_interval(n + 1, n)


@pytest.mark.parametrize(("k", "n"), [(0, 8), (3, 8), (8, 8), (17, 840), (0.05, 1)])
def test_the_score_interval_is_statsmodels(k: float, n: int) -> None:
    assert ours.wilson_interval(k, n) == pytest.approx(proportion_confint(k, n, method="wilson"), abs=1e-9)
    assert ours.wilson_interval(0, 0) == (0, 1)
    with pytest.raises(ValueError, match=f"between 0 and the {n} trials"):
        ours.wilson_interval(n + 1, n)
