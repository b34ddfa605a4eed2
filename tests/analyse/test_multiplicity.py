"""Families of arms: against statsmodels, scipy, brute force and published tables; error rates by simulation."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from harness.analyse import multiplicity as ours
from harness.analyse.permutation import sign_flip
from harness.analyse.statistics import holm

stats: Any = scipy.stats  # its own annotations do not know the results' fields

quick = settings(deadline=None, max_examples=40)


def shared_baseline(rng: np.random.Generator, n: int, sds: list[float]) -> np.ndarray:
    """(n, 1 + arms) runs without any effect: seed, and arms with their own spread about it."""
    return rng.normal(0, 1, (n, 1)) + rng.normal(0, 1, (n, 1 + len(sds))) * np.array([0.3, *sds])


@quick
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_benjamini_hochberg_is_statsmodels(p_values: list[float]) -> None:
    reference: Any = multipletests(p_values, method="fdr_bh")[1]
    assert ours.benjamini_hochberg(p_values) == pytest.approx(reference.tolist(), abs=1e-12)


def test_benjamini_hochberg_on_the_papers_example() -> None:
    paper = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528]
    paper += [0.7590, 1.0]  # Benjamini and Hochberg 1995, section 4: four rejections at 0.05, Bonferroni three
    q = ours.benjamini_hochberg(paper)
    assert sum(value is not None and value <= 0.05 for value in q) == 4
    assert ours.benjamini_hochberg([0.01, None]) == [0.01, None]
    assert ours.benjamini_hochberg([]) == []
    with pytest.raises(ValueError, match="between 0 and 1"):
        ours.benjamini_hochberg([1.2])


def test_the_false_discovery_rate_holds_for_arms_that_share_a_baseline() -> None:
    rng = np.random.default_rng(5)
    shares = []
    for _ in range(500):
        runs = shared_baseline(rng, 6, [0.3] * 10)
        runs[:, 8:] += 1.0  # arms 7 to 9 of 0 to 9 have an effect
        p = stats.ttest_1samp(runs[:, 1:] - runs[:, :1], 0.0).pvalue
        q = np.array(ours.benjamini_hochberg(p.tolist()), dtype=float)
        named = q <= ours.FALSE_DISCOVERY_RATE
        shares.append(named[:7].sum() / max(1, named.sum()))
    assert np.mean(shares) <= ours.FALSE_DISCOVERY_RATE + 0.01


def brute_max_t(table: np.ndarray) -> list[float]:
    """Westfall and Young's algorithm 2.8 as it is told, with scipy's t."""
    observed = np.abs(stats.ttest_1samp(table, 0.0).statistic)
    order = np.argsort(-observed)
    flips = [np.array(signs)[:, None] * table for signs in itertools.product((1, -1), repeat=len(table))]
    all_t = np.array([np.abs(stats.ttest_1samp(flipped, 0.0).statistic) for flipped in flips])
    adjusted, largest = np.empty(len(order)), 0.0
    for rank, arm in enumerate(order):
        rest = all_t[:, order[rank:]].max(axis=1)
        largest = max(largest, float(np.mean(rest >= observed[arm] * (1 - 1e-9))))
        adjusted[arm] = largest
    return adjusted.tolist()


@pytest.mark.parametrize("seed", range(4))
def test_max_t_is_the_algorithm(seed: int) -> None:
    table = np.random.default_rng(seed).normal([0, 0.5, 1.5, 0], [1, 0.1, 1, 3], (6, 4))
    assert ours.max_t(table).adjusted == pytest.approx(brute_max_t(table))


def test_max_t_of_one_arm_is_the_sign_flip_test() -> None:
    values = [0.4, 0.1, -0.2, 0.9, 0.5, 0.3, 0.7]
    assert ours.max_t([[v] for v in values]).adjusted == (sign_flip(values).p,)


def test_max_t_lies_between_the_single_tests_and_the_single_step_and_mostly_below_holm() -> None:
    rng = np.random.default_rng(2)
    below = []
    for _ in range(40):
        table = rng.normal(0.6, 1, (8, 5)) - rng.normal(0, 1, (8, 1))
        single = [sign_flip(column).p for column in table.T.tolist()]
        stepped, at_once = ours.max_t(table).adjusted, ours.max_t(table, step_down=False).adjusted
        assert stepped is not None
        assert at_once is not None
        for alone, p, whole, bound in zip(single, stepped, at_once, holm(single), strict=True):
            assert alone is not None
            assert bound is not None
            assert alone <= p <= whole
            below.append(p <= bound)
    assert np.mean(below) > 0.8


def test_max_t_reaches_the_level_with_6_seeds_for_any_number_of_arms() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(0, 1, (6, 30))
    table[:, 7] = [5.0, 5.1, 4.9, 5.2, 5.0, 5.05]
    found = ours.max_t(table)
    assert found.adjusted is not None
    assert found.adjusted[7] == 2 / 64
    assert sign_flip(table[:, 7].tolist(), tests=30).p is None, "Holm could not"
    few = ours.max_t(table[:5])
    assert few.adjusted is None
    assert "5 seeds give a sign-flip p of at least" in few.reason


def test_error_rates_of_a_family_with_unequal_spreads() -> None:
    """What decides: arms' differences spread 1 to 10 as norm and position do. Dunnett's pooling fails, max-t holds."""
    rng = np.random.default_rng(11)
    studies, sds = 500, [0.1, 0.1, 0.1, 3.0]
    wrong = {"max-t": 0, "pooled": 0, "holm": 0}
    critical = ours.dunnett_critical(4, 24, 0.05)
    for _ in range(studies):
        runs = shared_baseline(rng, 7, sds)
        differences = runs[:, 1:] - runs[:, :1]
        adjusted = ours.max_t(differences).adjusted
        assert adjusted is not None
        wrong["max-t"] += min(adjusted) <= 0.05
        p = holm(stats.ttest_1samp(differences, 0.0).pvalue.tolist())
        wrong["holm"] += min(value for value in p if value is not None) <= 0.05
        refused = ours.dunnett(runs[:, 0].tolist(), runs[:, 1:])
        error = refused.sd * math.sqrt(2 / 7)
        wrong["pooled"] += float(np.abs(differences.mean(axis=0)).max()) / error >= critical
    bound = 0.05 + 3 * math.sqrt(0.05 * 0.95 / studies)
    assert wrong["max-t"] / studies <= bound
    assert wrong["holm"] / studies <= bound
    assert wrong["pooled"] / studies > 0.10, "why Dunnett's test is refused for such arms"


def test_dunnett_holds_its_level_and_finds_more_where_spreads_are_equal() -> None:
    rng = np.random.default_rng(4)
    studies, counts = 250, {"wrong": 0, "answered": 0, "dunnett": 0, "holm": 0}
    for _ in range(studies):
        runs = shared_baseline(rng, 5, [0.3] * 5)
        found = ours.dunnett(runs[:, 0].tolist(), runs[:, 1:])
        counts["answered"] += found.adjusted is not None
        counts["wrong"] += found.adjusted is not None and min(found.adjusted) <= 0.05
        runs[:, 1] += 0.8
        found = ours.dunnett(runs[:, 0].tolist(), runs[:, 1:])
        p = holm(stats.ttest_1samp(runs[:, 1:] - runs[:, :1], 0.0).pvalue.tolist())[0]
        counts["dunnett"] += found.adjusted is not None and found.adjusted[0] <= 0.05
        counts["holm"] += p is not None and p <= 0.05
    assert counts["wrong"] / studies <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / studies)
    assert counts["answered"] / studies == pytest.approx(0.82, abs=0.07), "LARGEST_SPREAD_RATIO says 5 in 6"
    assert counts["dunnett"] > 1.5 * counts["holm"]


@pytest.mark.parametrize(
    ("arms", "df", "critical"),  # Dunnett 1964, table II, two-sided 0.05
    [(1, 10, 2.23), (2, 10, 2.57), (3, 10, 2.76), (5, 10, 2.99), (9, 20, 2.95), (4, 5, 3.48), (2, 60, 2.27)],
)
def test_the_published_critical_values(arms: int, df: int, critical: float) -> None:
    assert ours.dunnett_critical(arms, df, 0.05) == pytest.approx(critical, abs=0.006)


@pytest.mark.parametrize(("t", "arms", "df"), [(2.0, 2, 4), (3.1, 4, 12), (1.0, 3, 40), (6.0, 5, 3)])
def test_the_probability_is_scipys_multivariate_t(t: float, arms: int, df: int) -> None:
    shape = np.full((arms, arms), 0.5) + 0.5 * np.eye(arms)
    law = stats.multivariate_t(shape=shape, df=df, seed=1)
    inside = law.cdf(np.full(arms, t), lower_limit=np.full(arms, -t), maxpts=400_000)
    assert ours.dunnett_p(t, arms, df) == pytest.approx(1 - inside, abs=2e-4)


def test_one_arm_is_the_paired_t_test() -> None:
    baseline, arm = [1.0, 1.2, 0.9, 1.1, 1.3], [1.1, 1.25, 1.1, 1.15, 1.3]
    found = ours.dunnett(baseline, [[v] for v in arm])
    reference = stats.ttest_rel(arm, baseline)
    assert found.adjusted is not None
    assert found.intervals is not None
    assert found.adjusted[0] == pytest.approx(reference.pvalue, abs=1e-5)
    low, high = reference.confidence_interval()
    assert found.intervals[0] == pytest.approx((low, high), abs=1e-5)
    assert found.degrees_of_freedom == 4


def test_dunnett_says_why_it_is_refused() -> None:
    unequal = ours.dunnett([0.0, 0.0, 0.0], [[0.1, 1.0], [0.2, -1.0], [0.15, 0.4]])
    assert unequal.adjusted is None
    assert "spread unequally" in unequal.reason
    same = ours.dunnett([0.1, 0.2, 0.3], [[0.2, 0.1], [0.3, 0.2], [0.4, 0.3]])
    assert same.adjusted is None
    assert "no spread" in same.reason


def test_no_spread_ties_and_nonsense() -> None:
    assert ours.max_t(np.zeros((6, 2))).adjusted == (1.0, 1.0)
    assert ours.max_t([[0.1, 0.0]] * 6).adjusted == (2 / 64, 1.0)
    twins = np.random.default_rng(1).normal(0.5, 1, (7, 1)).repeat(2, axis=1)
    adjusted = ours.max_t(twins).adjusted
    assert adjusted is not None
    assert adjusted[0] == adjusted[1] == sign_flip(twins[:, 0].tolist()).p
    with pytest.raises(ValueError, match="finite values"):
        ours.max_t([[0.1, math.nan]] * 6)
