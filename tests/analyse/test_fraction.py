"""Fractions against the textbook's alias tables, and their estimates against the complete factorial's."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from harness.analyse.fraction import chain_effects
from harness.spec import fraction as ours
from variants.errors import UserError

HALF = ours.fraction("ABCD", {"D": "ABC"})  # 2^(4-1), resolution IV


def test_the_half_fraction_of_four_factors_is_the_textbooks() -> None:
    assert HALF.resolution == 4
    assert HALF.defining == (("A", "B", "C", "D"),)
    assert len(HALF.runs) == 8
    assert HALF.runs[:3] == ((0, 0, 0, 0), (1, 0, 0, 1), (0, 1, 0, 1)), "standard order, D = ABC"
    found = {chain.effect: chain.aliases for chain in ours.chains(HALF)}
    assert found["A",] == (("B", "C", "D"),)
    assert found["A", "B"] == (("C", "D"),)
    assert set(found) == {("A",), ("B",), ("C",), ("D",), ("A", "B"), ("A", "C"), ("A", "D")}


def test_the_quarter_fraction_of_five_factors_is_the_textbooks() -> None:
    """Box, Hunter and Hunter 2005, section 6: 2^(5-2) with D = AB, E = AC has I = ABD = ACE = BCDE."""
    design = ours.fraction("ABCDE", {"D": "AB", "E": "AC"})
    assert design.defining == (("A", "B", "D"), ("A", "C", "E"), ("B", "C", "D", "E"))
    assert design.resolution == 3
    found = {chain.effect: chain.aliases for chain in ours.chains(design)}
    assert found["A",] == (("B", "D"), ("C", "E"), ("A", "B", "C", "D", "E"))
    assert found["B", "C"] == (("D", "E"), ("A", "B", "E"), ("A", "C", "D"))


def test_aliases_have_equal_columns_and_no_others_do() -> None:
    design = ours.fraction("ABCDEF", {"E": "ABC", "F": "BCD"})
    signs = 2 * np.array(design.runs) - 1
    words = [w for size in (1, 2, 3) for w in itertools.combinations("ABCDEF", size)]
    column = {w: signs[:, ["ABCDEF".index(f) for f in w]].prod(axis=1) for w in words}
    for chain in ours.chains(design, order=2):
        mixed = {
            w
            for w in words
            if w != chain.effect and (column[w] == ours.sign(w, chain.effect) * column[chain.effect]).all()
        }
        assert mixed == {w for w in chain.aliases if len(w) <= 3}
    assert (signs.sum(axis=0) == 0).all(), "every level equally often"
    assert (0,) * 6 in design.runs, "the baseline is run"
    assert design.resolution == 4


def test_it_says_so_in_words() -> None:
    design = ours.fraction(["norm", "ffn", "position", "block"], {"block": ["norm", "ffn", "position"]})
    said = ours.in_words(design)
    assert said[0] == "8 of 16 combinations are run, with block = norm x ffn x position: resolution IV."
    assert said[1] == "norm is mixed with ffn x position x block."
    assert "norm x ffn is mixed with position x block." in said
    saturated = ours.in_words(ours.fraction("ABCDE", {"D": "AB", "E": "AC"}))
    assert "A is mixed with -(B x D) and -(C x E) and 1 effect of more than 3 factors." in saturated
    assert ours.in_words(ours.fraction("AB", {})) == ["All 4 combinations are run; nothing is mixed."]


def test_a_chain_estimates_the_sum_of_its_effects() -> None:
    """A(ABCD) world: effects of A, BCD and CD are put in, and come out in the chains of A and of AB."""
    signs = 2.0 * np.array(HALF.runs) - 1
    a, b, c, d = signs.T
    values = (1.0 + 0.15 * a + 0.05 * b * c * d + 0.1 * c * d)[:, None] + np.array([0.0, 0.4, -0.2])
    found = {e.chain.effect: e for e in chain_effects(HALF, values)}
    assert found["A",].estimate == pytest.approx(2 * 0.2)
    assert found["A", "B"].estimate == pytest.approx(4 * 0.1)
    assert found["B",].estimate == pytest.approx(0, abs=1e-12)
    assert found["A",].p == 0, "no residual"


def test_estimates_and_intervals_are_least_squares() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (8, 3)) + rng.normal(0, 2, 3)
    signs = 2.0 * np.array(HALF.runs) - 1
    columns = [signs[:, ["ABCD".index(f) for f in chain.effect]].prod(axis=1) for chain in ours.chains(HALF)]
    rows = [[*(column[i] for column in columns), *(np.eye(3)[s])] for i in range(8) for s in range(3)]
    fit = sm.OLS(values.ravel(), np.array(rows)).fit()
    for k, effect in enumerate(chain_effects(HALF, values)):
        unit = 2.0 ** len(effect.chain.effect)
        assert effect.estimate == pytest.approx(unit * fit.params[k])
        assert effect.ci95_pooled == pytest.approx(tuple(unit * fit.conf_int()[k]))
        by_seed = [unit * np.linalg.lstsq(np.array(columns).T, one, rcond=None)[0][k] for one in values.T]
        own: Any = stats.ttest_1samp(by_seed, 0)  # scipy's annotations do not know its p-value
        assert effect.p == pytest.approx(own.pvalue)
        assert effect.ci95 == pytest.approx(tuple(own.confidence_interval()))


@pytest.mark.parametrize(
    ("k", "one_in", "resolution", "short"),  # Box, Hunter and Hunter 2005, table 6.22; words of that length
    [(3, 2, 3, 1), (4, 2, 4, 1), (5, 2, 5, 1), (5, 4, 3, 2), (6, 4, 4, 3), (7, 8, 4, 7), (7, 16, 3, 7), (8, 16, 4, 14)],
)
def test_the_fraction_that_confuses_least_is_the_tables(k: int, one_in: int, resolution: int, short: int) -> None:
    design = ours.smallest_confusion("ABCDEFGH"[:k], one_in)
    assert len(design.runs) == 2**k // one_in == len(set(design.runs))
    assert (design.resolution, sum(len(word) == resolution for word in design.defining)) == (resolution, short)
    assert design.runs[0] == (0,) * k


def test_fractions_that_do_not_exist_are_refused() -> None:
    with pytest.raises(UserError, match="1/2, 1/4"):
        ours.smallest_confusion("ABC", 3)
    with pytest.raises(UserError, match="run them all"):
        ours.smallest_confusion("AB", 2)
    with pytest.raises(UserError, match="the smallest fraction is 1/16"):
        ours.smallest_confusion("ABCDEFG", 32)


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="D is generated by at least 2 different ones"):
        ours.fraction("ABCD", {"D": "A"})
    with pytest.raises(ValueError, match="E is generated by"):
        ours.fraction("ABCDE", {"D": "AB", "E": "AD"})
    with pytest.raises(ValueError, match="some of the factors, each named once"):
        ours.fraction("ABC", {"Z": "AB"})
    with pytest.raises(ValueError, match="some of the factors, each named once"):
        ours.fraction("AAB", {})
    with pytest.raises(ValueError, match="needs 8 runs of at least 2 seeds"):
        chain_effects(HALF, np.ones((7, 3)))
    with pytest.raises(ValueError, match="finite"):
        chain_effects(HALF, np.full((8, 3), math.nan))
