"""The factorial against statsmodels' least squares and analysis of variance, a textbook example, and properties."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import AnovaRM

from harness.analyse import factorial as ours

NORM, FFN = ours.Factor("norm", ("layer", "rms")), ours.Factor("ffn", ("gelu", "swiglu"))
BLOCK = ours.Factor("block", ("dense", "moe", "mixffn"))


def table(factors: list[ours.Factor], seeds: int, seed: int = 0) -> ours.Cells:
    shape = [len(factor.levels) for factor in factors]
    rng = np.random.default_rng(seed)
    values = rng.normal(1.6, 0.05, shape)[..., None] + rng.normal(0, 0.03, seeds) + rng.normal(0, 0.01, (*shape, seeds))
    names = itertools.product(*(factor.levels for factor in factors))
    flat = values.reshape(-1, seeds)
    return ours.cells_of(factors, {name: dict(enumerate(row.tolist())) for name, row in zip(names, flat, strict=True)})


def frame(cells: ours.Cells) -> pd.DataFrame:
    rows = []
    for index in np.ndindex(*cells.values.shape):
        row = {factor.name: factor.levels[i] for factor, i in zip(cells.factors, index, strict=False)}
        rows.append({**row, "seed": index[-1], "y": cells.values[index]})
    return pd.DataFrame(rows)


def coded(factor: ours.Factor) -> str:
    """Sum coding with the levels in our order, so that the last is the one left out."""
    return f"C({factor.name}, Sum, levels={list(factor.levels[::-1])!r})"


def test_two_levels_are_statsmodels_least_squares_with_effect_coding() -> None:
    position = ours.Factor("position", ("learned", "rope"))
    cells = table([NORM, FFN, position], 4)
    found = ours.analyse(cells)
    terms = " * ".join(coded(factor) for factor in cells.factors)
    fit = ols(f"y ~ C(seed, Sum) + {terms}", frame(cells)).fit()
    assert found.residual_sd == pytest.approx(math.sqrt(fit.mse_resid))
    assert found.residual_df == fit.df_resid == 21
    assert found.grand_mean == pytest.approx(fit.params["Intercept"])
    interval = fit.conf_int()
    for effect in found.effects:
        levels = dict(zip(effect.factors, effect.levels, strict=True))
        name = ":".join(f"{coded(f)}[S.{levels[f.name]}]" for f in cells.factors if f.name in levels)
        scale = 2.0 ** len(levels)  # a coefficient is half a main effect, a quarter of a difference of differences
        assert effect.estimate == pytest.approx(scale * fit.params[name])
        assert effect.ci95_pooled == pytest.approx(tuple(scale * interval.loc[name]))


def test_terms_are_statsmodels_repeated_measures() -> None:
    cells = table([NORM, BLOCK, FFN], 5, seed=1)
    found = ours.analyse(cells)
    anova = AnovaRM(frame(cells), "y", "seed", within=["norm", "block", "ffn"]).fit().anova_table
    for term in found.terms:
        row = anova.loc[":".join(term.factors)]
        assert (term.df, term.error_df, term.f) == pytest.approx((row["Num DF"], row["Den DF"], row["F Value"]))
        if term.df == 1:
            assert term.sphericity == 1
            assert term.p == pytest.approx(row["Pr > F"])
        else:
            assert 1 / term.df <= term.sphericity < 1
            shrunk = (term.sphericity * term.df, term.sphericity * term.error_df)
            assert term.p == pytest.approx(stats.f.sf(row["F Value"], *shrunk))
    assert len(found.effects) == 1 + 2 + 1 + 2 + 1 + 2


def test_an_effect_of_two_levels_is_its_term() -> None:
    found = ours.analyse(table([NORM, FFN], 6, seed=3))
    for effect, term in zip(found.effects, found.terms, strict=True):
        assert effect.factors == term.factors
        assert effect.p == pytest.approx(term.p), "t squared is F"


def test_sphericity_is_greenhouse_and_geissers_own_formula() -> None:
    """Geisser and Greenhouse 1958: k² (mean of the diagonal - mean)² over (k-1)(Σs² - 2k Σ row means² + k² mean²)."""
    cells = table([BLOCK, NORM], 7, seed=4)
    s = np.cov(cells.values.mean(axis=1))  # of the three levels over seeds
    k, mean, rows = 3, s.mean(), s.mean(axis=1)
    below = (k - 1) * ((s**2).sum() - 2 * k * (rows**2).sum() + k**2 * mean**2)
    (term,) = (t for t in ours.analyse(cells).terms if t.factors == ("block",))
    assert term.sphericity == pytest.approx(k**2 * (np.diag(s).mean() - mean) ** 2 / below)


def test_an_effect_that_differs_between_seeds_is_judged_by_its_own_spread() -> None:
    """True mean 0, sd 2 over seeds; the rest of the table has sd 0.1, which is what a pooled residual would go by."""
    rng, held, pooled, wrong = np.random.default_rng(6), 0, 0, 0
    switched = np.array([[0.0], [1.0]])[..., None]  # norm=rms
    for _ in range(400):
        values = rng.normal(0, 0.1, (2, 2, 6)) + 2 * switched * rng.normal(0, 1, 6)
        effect = ours.analyse(ours.Cells((NORM, FFN), tuple(range(6)), values)).effects[0]
        held += effect.ci95[0] <= 0 <= effect.ci95[1]
        pooled += effect.ci95_pooled[0] <= 0 <= effect.ci95_pooled[1]
        wrong += effect.p <= 0.05
    assert held / 400 == pytest.approx(0.95, abs=0.035)
    assert wrong / 400 == pytest.approx(0.05, abs=0.035)
    assert pooled / 400 < 0.8


def test_effects_are_differences_of_marginal_means() -> None:
    cells = table([NORM, BLOCK], 5, seed=2)
    means = cells.values.mean(axis=-1)
    by_name = {(e.factors, e.levels): e for e in ours.analyse(cells).effects}
    assert by_name[("block",), ("mixffn",)].estimate == pytest.approx(means[:, 2].mean() - means[:, 0].mean())
    twice = (means[1, 1] - means[0, 1]) - (means[1, 0] - means[0, 0])
    assert by_name[("norm", "block"), ("rms", "moe")].estimate == pytest.approx(twice)


def test_a_textbook_design() -> None:
    """Montgomery 2017, example 6.1 (plasma etch, 2^3, two replicates): effects A -101.625, C 306.125, AC -153.625."""
    data = {
        "000": (550, 604), "100": (669, 650), "010": (633, 601), "110": (642, 635),
        "001": (1037, 1052), "101": (749, 868), "011": (1075, 1063), "111": (729, 860),
    }  # fmt: skip
    factors = [ours.Factor(name, ("0", "1")) for name in "ABC"]
    cells = ours.cells_of(factors, {tuple(k): dict(enumerate(map(float, v))) for k, v in data.items()})
    effects = {e.factors: e.estimate for e in ours.analyse(cells).effects}
    assert effects["A",] == pytest.approx(-101.625)
    assert effects["B",] == pytest.approx(7.375)
    assert effects["C",] == pytest.approx(306.125)
    assert effects["A", "C"] == pytest.approx(2 * -153.625), "a difference of differences is twice the book's"
    assert effects["A", "B"] == pytest.approx(2 * -24.875)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000))
def test_seeds_are_blocks_and_interactions_of_additive_cells_are_zero(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cells = table([NORM, BLOCK, FFN], 3, seed)
    shifted = ours.Cells(cells.factors, cells.seeds, cells.values + rng.normal(0, 5, 3))
    for before, after in zip(ours.analyse(cells).effects, ours.analyse(shifted).effects, strict=True):
        assert after.estimate == pytest.approx(before.estimate, abs=1e-9)
        assert after.ci95 == pytest.approx(before.ci95, abs=1e-9)
    parts = rng.normal(0, 1, (2, 1, 1, 1)) + rng.normal(0, 1, (1, 3, 1, 1)) + rng.normal(0, 1, (1, 1, 2, 1))
    additive = ours.analyse(
        ours.Cells(cells.factors, cells.seeds, parts + rng.normal(0, 0.1, (2, 3, 2, 3)).mean() + np.zeros(3))
    )
    assert all(abs(e.estimate) < 1e-12 for e in additive.effects if len(e.factors) == 2)
    assert additive.residual_sd == 0


def test_intervals_cover_where_cells_spread_unequally_and_pooled_ones_less() -> None:
    rng = np.random.default_rng(5)
    held = {"pooled": 0, "pooled, unequal": 0, "unequal": 0}
    spread = np.array([[0.1, 0.1], [0.1, 1.0]])[..., None]
    for _ in range(400):
        equal = ours.analyse(ours.Cells((NORM, FFN), (0, 1, 2, 3), rng.normal(0, 1, (2, 2, 4)))).effects[0]
        uneven = ours.analyse(ours.Cells((NORM, FFN), (0, 1, 2, 3), rng.normal(0, 1, (2, 2, 4)) * spread)).effects[0]
        held["pooled"] += equal.ci95_pooled[0] <= 0 <= equal.ci95_pooled[1]
        held["pooled, unequal"] += uneven.ci95_pooled[0] <= 0 <= uneven.ci95_pooled[1]
        held["unequal"] += uneven.ci95[0] <= 0 <= uneven.ci95[1]
    assert held["pooled"] / 400 == pytest.approx(0.95, abs=0.035)
    assert held["unequal"] / 400 == pytest.approx(0.95, abs=0.035)
    assert held["pooled, unequal"] < held["unequal"]


def test_the_levels_of_the_family_are_shared_by_holm() -> None:
    effects = ours.analyse(table([NORM, FFN], 3)).effects
    assert sorted(e.p_adjusted for e in effects)[0] == pytest.approx(min(1, 3 * min(e.p for e in effects)))


def test_an_incomplete_table_is_refused() -> None:
    full = {(n, f): {0: 1.0, 1: 2.0} for n in NORM.levels for f in FFN.levels}
    lacking = {k: v for k, v in full.items() if k != ("rms", "swiglu")}
    with pytest.raises(ValueError, match="needs every cell, 1 are missing, the first: rms swiglu"):
        ours.cells_of([NORM, FFN], lacking)
    with pytest.raises(ValueError, match="the same seeds, rms swiglu has others"):
        ours.cells_of([NORM, FFN], {**lacking, ("rms", "swiglu"): {0: 1.0}})
    with pytest.raises(ValueError, match="finite"):
        ours.cells_of([NORM, FFN], {**lacking, ("rms", "swiglu"): {0: 1.0, 1: math.nan}})
    with pytest.raises(ValueError, match="at least 2 levels"):
        ours.cells_of([ours.Factor("norm", ("layer",))], {("layer",): {0: 1.0}})
    one_seed = ours.cells_of([NORM, FFN], {k: {0: 1.0} for k in full})
    with pytest.raises(ValueError, match="at least 2 seeds for its residual, got 1"):
        ours.analyse(one_seed)
