"""A/A studies from made-up runs: their words against scipy's tests, and their rate against the level."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy import stats

from harness.analyse.aa_studies import pipeline_errors
from harness.records.example import example_design_study, example_run
from harness.records.record import StudyRecord, StudyRun

NARROW = 1e-9
"""A margin within which nothing is equivalent, so that every wrong word shows."""


def study(margin: float, seeds: int) -> StudyRecord:
    return example_design_study("norm=rms", seeds=range(seeds), margin=margin)


def baseline(values: np.ndarray) -> list[StudyRun]:
    return [example_run("gpt2", seed, float(value)) for seed, value in enumerate(values)]


def p_of(result: Any) -> Any:
    """The p-values; scipy's own annotations do not know them."""
    return result.pvalue


def words_by_scipy(values: np.ndarray, margin: float) -> dict[str, float]:
    """Shares over all orders of the runs, in which each split is found equally often."""
    orders = values[np.array(list(itertools.permutations(range(len(values)))))]
    before, after = np.split(orders, 2, axis=1)
    d = after - before
    different = p_of(stats.ttest_rel(after, before, axis=1)) <= 0.05
    above = stats.ttest_1samp(d, -margin, axis=1, alternative="greater")
    below = stats.ttest_1samp(d, margin, axis=1, alternative="less")
    equivalent = np.maximum(p_of(above), p_of(below)) <= 0.05
    return {"equivalent": equivalent.mean(), "wrong": (different & ~equivalent).mean()}


def test_words_are_those_of_scipy() -> None:
    told = set()
    for seed in range(12):
        values = np.random.default_rng(seed).normal(1.6, 0.01, 6)
        found = pipeline_errors(study(0.02, 6), baseline(values))
        expected = words_by_scipy(values, 0.02)
        assert found.exhaustive
        assert found.studies == 60
        assert found.words["equivalent"] / 60 == pytest.approx(expected["equivalent"])
        assert found.rate == pytest.approx(expected["wrong"])
        told |= {word for word, times in found.words.items() if times}
    assert {"equivalent", "inconclusive"} < told, "the worlds exercise more than one word"


def test_wrong_words_come_at_the_level() -> None:
    rng = np.random.default_rng(0)
    found = [pipeline_errors(study(NARROW, 12), baseline(rng.normal(1.6, 0.01, 12)), most=25) for _ in range(20)]
    wrong, studies = sum(f.wrong for f in found), sum(f.studies for f in found)
    assert stats.binomtest(wrong, studies, 0.05).pvalue > 0.001, f"{wrong} of {studies}"
    assert not any(f.exhaustive for f in found)
    assert all(f.words["equivalent"] == 0 for f in found)


def test_a_wide_margin_makes_all_equivalent() -> None:
    found = pipeline_errors(study(1.0, 8), baseline(np.random.default_rng(1).normal(1.6, 0.01, 8)), most=50)
    assert found.words == {"better": 0, "worse": 0, "equivalent": 50, "inconclusive": 0}
    assert found.wilson95[0] == 0 < found.wilson95[1] < 0.08
    assert found.disjoint == 1
    assert found.disjoint_wilson95[1] > 0.75, "one independent study shows next to nothing"


def test_too_few_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="needs 4 runs, got 3"):
        pipeline_errors(study(0.01, 4), baseline(np.array([1.6, 1.7, 1.8])))
