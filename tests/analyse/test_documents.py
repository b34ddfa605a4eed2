"""The error of a loss over documents, against the textbook and the bootstrap, and differences over seeds as well."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from harness.analyse.comparison import compare
from harness.analyse.documents import DocumentRow, document_rows
from harness.records.example import example_run, example_runs, example_study
from harness.records.record import StudyRun

ARMS = ("gpt2", "norm=rms")


def run(arm: str, seed: int, nats: np.ndarray, num_bytes: np.ndarray) -> StudyRun:
    """A run whose documents have these nats per byte."""
    made = example_run(arm, seed, float(np.average(nats, weights=num_bytes)))
    documents = [[float(n * b), float(b) / 4, float(b)] for n, b in zip(nats, num_bytes, strict=True)]
    return dataclasses.replace(made, record=dataclasses.replace(made.record, documents=documents))


def study(
    seeds: int, documents: int, sd_seeds: float, sd_documents: float, sd_both: float, seed: int
) -> list[StudyRun]:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(50, 400, documents).astype(float)
    hard = rng.normal(1.65, 0.2, documents)
    more = 0.02 + rng.normal(0, sd_documents, documents)
    runs = []
    for s in range(seeds):
        level = hard + rng.normal(0, 0.01)
        runs.append(run("gpt2", s, level, sizes))
        arm = level + more + rng.normal(0, sd_seeds) + rng.normal(0, sd_both, documents)
        runs.append(run("norm=rms", s, arm, sizes))
    return runs


def rows(runs: list[StudyRun], seeds: int) -> list[DocumentRow]:
    return document_rows(example_study(ARMS, range(seeds)), runs, ARMS)


def test_the_error_of_the_level_is_that_of_a_ratio() -> None:
    """Cochran 1977, section 6.3, for the totals of nats and bytes of the mean run; and by resampling documents."""
    runs = study(1, 60, 0, 0, 0, seed=0)
    nats, _, sizes = np.array(runs[0].record.documents).T
    ratio = nats.sum() / sizes.sum()
    n = len(nats)
    cochran = math.sqrt(n / (n - 1) * ((nats - ratio * sizes) ** 2).sum()) / sizes.sum()
    baseline, _ = rows(runs, 1)
    assert baseline.loss == pytest.approx(ratio)
    assert baseline.loss == pytest.approx(runs[0].record.scores["nats_per_byte"])
    assert baseline.standard_error == pytest.approx(cochran)
    rng = np.random.default_rng(1)
    draws = [rng.integers(0, n, n) for _ in range(2000)]
    drawn = [nats[draw].sum() / sizes[draw].sum() for draw in draws]
    assert baseline.standard_error == pytest.approx(np.std(drawn), rel=0.08)
    assert (baseline.num_documents, baseline.difference) == (60, None)


def test_the_difference_is_that_of_the_paired_comparison_with_a_wider_interval() -> None:
    runs = study(4, 30, 0.002, 0.03, 0.0, seed=2)
    _, arm = rows(runs, 4)
    (c,) = compare(example_study(ARMS, range(4)), runs)
    assert arm.difference is not None
    assert arm.difference.mean == pytest.approx(c.mean_difference)
    assert arm.difference.ci95 is not None
    assert c.ci95 is not None
    assert arm.difference.ci95[1] - arm.difference.ci95[0] > c.ci95[1] - c.ci95[0]
    assert arm.seeds_error == pytest.approx((c.sd_difference or 0) / 2, rel=1e-6)
    assert (arm.documents_error or 0) > (arm.seeds_error or 0)
    assert (arm.difference.num_seeds, arm.difference.num_items) == (4, 30)


def test_the_interval_holds_the_truth_where_that_of_seeds_alone_does_not() -> None:
    """200 made-up studies of 4 seeds and 30 documents, which differ in how much the arm gains on them."""
    ours = alone = 0
    for seed in range(200):
        runs = study(4, 30, 0.003, 0.05, 0.0, seed)
        _, arm = rows(runs, 4)
        (c,) = compare(example_study(ARMS, range(4)), runs)
        assert arm.difference is not None
        assert arm.difference.ci95 is not None
        assert c.ci95 is not None
        ours += arm.difference.ci95[0] <= 0.02 <= arm.difference.ci95[1]
        alone += c.ci95[0] <= 0.02 <= c.ci95[1]
    assert ours >= 180
    assert alone < 140


def test_one_seed_covers_documents_and_one_document_covers_seeds() -> None:
    _, one_seed = rows(study(1, 30, 0, 0.03, 0, seed=3), 1)
    assert one_seed.difference is not None
    assert one_seed.seeds_error is None
    assert one_seed.documents_error == pytest.approx(one_seed.difference.standard_error)
    _, one_document = rows(study(4, 1, 0.01, 0, 0, seed=4), 4)
    assert one_document.difference is not None
    assert one_document.standard_error is None
    assert one_document.documents_error is None
    assert one_document.seeds_error == pytest.approx(one_document.difference.standard_error)


def test_other_documents_are_refused_and_runs_without_are_left_out() -> None:
    first, second = study(2, 8, 0, 0, 0, seed=5), study(2, 9, 0, 0, 0, seed=6)
    mixed = [*(r for r in first if r.arm == "gpt2"), *(r for r in second if r.arm == "norm=rms")]
    baseline, arm = rows(mixed, 2)
    assert baseline.reason == ""
    assert (arm.difference, arm.reason) == (None, "norm=rms and gpt2 were scored on different documents")
    assert arm.num_documents == 9
    within = rows([first[0], second[2]], 2)
    assert within[0].reason == "the runs of gpt2 were scored on different documents"
    gone = rows(example_runs({"gpt2": [1.65, 1.66], "norm=rms": [None, None]}), 2)
    assert [row.arm for row in gone] == ["gpt2"]
    bare = [dataclasses.replace(r, record=dataclasses.replace(r.record, documents=[])) for r in first]
    assert rows(bare, 2) == []


def test_a_document_without_text_says_nothing() -> None:
    runs = study(2, 8, 0, 0.01, 0, seed=7)
    padded = [
        dataclasses.replace(r, record=dataclasses.replace(r.record, documents=[*r.record.documents, [0.0, 0.0, 0.0]]))
        for r in runs
    ]
    assert rows(padded, 2) == rows(runs, 2)
