"""Facets of runs with known numbers: means, intervals and paired differences as scipy has them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from scipy import stats

from harness.analyse.facets import facet_rows
from harness.records.example import example_runs, example_study
from harness.records.record import StudyRecord, StudyRun
from harness.records.score import ScoreRecord

Excess = Mapping[str, Mapping[str, Sequence[float | None]]]


def row(facet: str, part: str, excess: float | None, right: float | None = 0.5) -> dict[str, Any]:
    return {"facet": facet, "part": part, "excess_per_byte": excess, "floor_per_byte": 0.25, "right": right}


def studied(excess: Excess) -> tuple[StudyRecord, list[StudyRun]]:
    """`excess[arm][facet]` holds a value a seed, of the answers; all text has a tenth of it."""
    seeds = len(next(iter(next(iter(excess.values())).values())))
    runs = example_runs({arm: [1.6] * seeds for arm in excess})
    scored = []
    for run in runs:
        parts = [row("opening", "all", 0.01, None)]
        for facet, values in excess[run.arm].items():
            value = values[run.seed]
            parts.append(row(facet, "all", None if value is None else value / 10))
            parts.append(row(facet, "answer", value, 0.5 + 0.1 * run.seed))
        score = ScoreRecord("", {}, run.record.key, "facets", "finished", "", detail={"parts": parts})
        scored.append(dataclasses.replace(run, scores=(score,)))
    return example_study(tuple(excess), range(seeds)), scored


BASE = {"recall": [2.0, 2.1, 2.2, 2.0], "facts": [0.30, 0.31, 0.29, 0.30]}
ROPE = {"recall": [1.0, 1.2, 1.1, 1.3], "facts": [0.31, 0.30, 0.30, 0.30]}


def test_levels_and_paired_differences_are_those_of_scipy() -> None:
    rows = facet_rows(*studied({"gpt2": BASE, "position=rope": ROPE}), "answer")
    assert [(r.arm, r.facet, r.place, r.is_baseline) for r in rows] == [
        ("gpt2", "recall", 0, True),
        ("gpt2", "facts", 0, True),
        ("position=rope", "recall", 1, False),
        ("position=rope", "facts", 1, False),
    ]
    for found in rows:
        values = {"gpt2": BASE, "position=rope": ROPE}[found.arm][found.facet]
        test = stats.ttest_1samp(values, 0)
        assert found.excess.mean == pytest.approx(sum(values) / 4)
        assert found.excess.ci95 == pytest.approx(tuple(test.confidence_interval(0.95)))
        assert found.right is not None
        assert found.right.mean == pytest.approx(0.65)
        assert found.floor == 0.25
        if found.is_baseline:
            assert found.difference is None
            continue
        paired = stats.ttest_rel(values, BASE[found.facet])
        assert found.difference is not None
        assert found.difference.level.ci95 == pytest.approx(tuple(paired.confidence_interval(0.95)))
        assert found.difference.p_value == pytest.approx(paired.pvalue)


def test_the_family_is_every_facet_and_arm() -> None:
    arms = {
        "gpt2": BASE,
        "position=rope": ROPE,
        "norm=rms": {k: [x + 0.01 * (i % 2) for i, x in enumerate(v)] for k, v in BASE.items()},
    }
    differences = [r.difference for r in facet_rows(*studied(arms), "answer") if r.difference is not None]
    assert len(differences) == 4
    raw = sorted(d.p_value for d in differences if d.p_value is not None)
    adjusted = sorted(d.p_adjusted for d in differences if d.p_adjusted is not None)
    assert adjusted[0] == pytest.approx(4 * raw[0])
    assert adjusted[-1] >= raw[-1]


def test_all_text_has_the_opening_and_answers_do_not() -> None:
    study, runs = studied({"gpt2": BASE, "position=rope": ROPE})
    whole = facet_rows(study, runs, "all")
    assert [r.facet for r in whole if r.is_baseline] == ["opening", "recall", "facts"]
    assert {r.facet for r in facet_rows(study, runs, "answer")} == {"recall", "facts"}
    assert whole[0].right is None
    assert whole[1].excess.mean == pytest.approx(0.2075)


def test_pairs_are_the_seeds_that_both_have() -> None:
    rope = {"recall": [1.0, None, 1.1, float("nan")], "facts": ROPE["facts"]}
    rows = facet_rows(*studied({"gpt2": BASE, "position=rope": rope}), "answer")
    (found,) = [r for r in rows if (r.arm, r.facet) == ("position=rope", "recall")]
    assert found.difference is not None
    assert (found.excess.n, found.difference.level.n) == (2, 2)
    assert found.difference.level.mean == pytest.approx((-1.0 - 1.1) / 2)


def test_one_seed_has_no_interval_and_no_p() -> None:
    rows = facet_rows(*studied({"gpt2": {"recall": [2.0]}, "position=rope": {"recall": [1.5]}}), "answer")
    difference = rows[1].difference
    assert rows[0].excess.ci95 is None
    assert difference is not None
    assert (difference.level.mean, difference.level.ci95, difference.p_adjusted) == (-0.5, None, None)


def test_arms_without_the_score_have_no_row() -> None:
    study, runs = studied({"gpt2": BASE, "position=rope": ROPE})
    failed = [
        dataclasses.replace(r, scores=(dataclasses.replace(r.scores[0], status="failed", reason="x", detail={}),))
        if r.arm == "gpt2"
        else r
        for r in runs
    ]
    rows = facet_rows(study, failed, "answer")
    assert {r.arm for r in rows} == {"position=rope"}
    assert all(r.difference is None for r in rows)
    assert facet_rows(study, [dataclasses.replace(r, scores=()) for r in runs], "answer") == []
