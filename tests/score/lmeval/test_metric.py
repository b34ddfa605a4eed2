"""Accuracy that silence and noise cannot win, and errors against their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.score.lmeval.metric import (
    beats_guessing,
    bootstrap_estimate,
    credit,
    group_estimate,
    is_tie,
    mean_estimate,
)

NAN = math.nan
INF = math.inf


@pytest.mark.parametrize(
    ("likelihoods", "gold", "expected"),
    [
        ([-1.0, -2.0], {0}, 1.0),
        ([-2.0, -1.0], {0}, 0.0),
        ([-1.0, -1.0], {0}, 0.5),
        ([-1.0, -1.0], {1}, 0.5),
        ([-1.0] * 4, {2}, 0.25),
        ([-1.0, -1.0, -3.0, -4.0], {0}, 0.25),  # a tie of two of four counts one over the choices, not over the tied
        ([-1.0, -1.0, -3.0], {2}, 0.0),
        ([NAN, NAN], {0}, 0.0),
        ([-1.0, NAN], {0}, 0.0),
        ([-INF, -INF], {0}, 0.5),
        ([-5.0, -INF], {0}, 1.0),
        ([-1.0, -1.0, -2.0], {0, 1}, 1.0),  # both are right
    ],
)
def test_credit(likelihoods: list[float], gold: set[int], expected: float) -> None:
    assert credit(likelihoods, gold) == expected


def test_ties() -> None:
    assert is_tie([-1.0, -1.0, -2.0])
    assert not is_tie([-1.0, -2.0, -2.0])


def test_the_mean_has_the_error_of_the_central_limit_theorem() -> None:
    values = [1.0, 0.0, 1.0, 1.0]
    estimate = mean_estimate(values)
    assert estimate.value == 0.75
    assert estimate.standard_error == pytest.approx(np.std(values, ddof=1) / 2)
    assert mean_estimate([0.25] * 9).standard_error == 0.0
    assert mean_estimate([1.0]).standard_error is None
    assert mean_estimate([1.0, NAN]).value is None


def test_a_group_of_equal_members_has_the_error_of_their_spread() -> None:
    means = [0.4, 0.5, 0.9]
    estimate = group_estimate(means, [1.0, 1.0, 1.0])
    assert estimate.value == pytest.approx(0.6)
    assert estimate.standard_error == pytest.approx(np.std(means, ddof=1) / math.sqrt(3))
    assert group_estimate([0.4, 0.8], [1.0, 3.0]).value == pytest.approx(0.7)


def test_the_bootstrap_agrees_with_the_formula_where_there_is_one() -> None:
    values = np.random.default_rng(0).normal(3.0, 1.0, 400)
    estimate = bootstrap_estimate(values.tolist(), [1.0] * 400, exponential=False)
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.standard_error == pytest.approx(values.std(ddof=1) / 20, rel=0.1)
    perplexity = bootstrap_estimate(values.tolist(), [1.0] * 400, exponential=True)
    assert perplexity.value == pytest.approx(math.exp(values.mean()))
    assert perplexity.standard_error == pytest.approx(perplexity.value * values.std() / 20, rel=0.1)  # delta method


def test_a_perplexity_that_overflows_or_is_not_a_number_is_unknown() -> None:
    assert bootstrap_estimate([800.0, 900.0], [1.0, 1.0], exponential=True).value is None
    assert bootstrap_estimate([NAN, 1.0], [1.0, 1.0], exponential=True).value is None


def test_two_lucky_items_are_not_knowledge() -> None:
    assert not beats_guessing(mean_estimate([1.0, 1.0]), 0.5, math.sqrt(0.25 / 2))
    assert beats_guessing(mean_estimate([1.0] * 50), 0.5, math.sqrt(0.25 / 50))
    assert not beats_guessing(mean_estimate([0.5] * 50), 0.5, math.sqrt(0.25 / 50))
