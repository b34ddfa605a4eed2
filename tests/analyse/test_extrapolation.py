"""Extrapolation over seeds: growth with its interval, a panel a position variant, and gaps with their reason."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.analyse.extrapolation import Gap, gaps, growth_rows, panels
from harness.analyse.items import as_ratio
from harness.records.example import example_runs, example_study
from harness.records.example_scores import CONTEXT, RATIOS, extrapolation_score, scored
from harness.records.record import StudyRun
from harness.records.score import ScoreRecord

BASE = [1.650, 1.655, 1.648, 1.652]
VALUES = {"gpt2": BASE, "position=rope": BASE, "norm=rms position=rope": BASE, "gone": [None] * 4}
STUDY = example_study(tuple(VALUES))
SLOPE = 0.05


def score(run: StudyRun) -> list[ScoreRecord]:
    return [extrapolation_score(run, SLOPE if "rope" in run.arm else None)]


RUNS = scored(example_runs(VALUES), score)


def test_a_panel_a_position_variant() -> None:
    learned, rope = panels(STUDY, RUNS)
    assert (learned.position, rope.position) == ("learned", "rope")
    assert [(line.arm, line.place, line.is_baseline) for line in learned.lines] == [("gpt2", 0, True)]
    assert [(line.arm, line.place) for line in rope.lines] == [("position=rope", 1), ("norm=rms position=rope", 2)]
    assert panels(STUDY, example_runs(VALUES)) == []


def test_a_point_that_is_not_defined_is_absent_and_said() -> None:
    learned, rope = panels(STUDY, RUNS)
    for mode in ("sliding", "non-overlapping"):
        assert learned.lines[0].bands[mode].xs == (0.25, 0.5, 1.0)
        assert rope.lines[0].bands[mode].xs == RATIOS
    reason = f"position=learned is defined for {CONTEXT} positions"
    assert gaps(STUDY, RUNS) == [Gap(reason, (1.25, 1.5, 2.0, 4.0, 8.0), ("gpt2",))]


def test_one_reason_that_names_its_context_is_one_gap() -> None:
    detail = extrapolation_score(RUNS[0], None).detail
    for point in detail["points"]:
        if point["reason"]:
            point["reason"] = f"the validation split of 'x' is too short for a context of {point['context']}"
    run = RUNS[0].__class__("gpt2", 0, False, RUNS[0].record, (extrapolation_score(RUNS[0], None),))
    run.scores[0].detail.update(detail)
    (gap,) = gaps(STUDY, [run])
    assert gap == Gap("the validation split of 'x' is too short", (1.25, 1.5, 2.0, 4.0, 8.0), ("gpt2",))


def test_growth_is_that_of_each_run_averaged_over_seeds() -> None:
    gpt2, rope, _ = growth_rows(STUDY, RUNS, list(VALUES), "sliding")
    assert (gpt2.arm, gpt2.train, gpt2.num_blocks) == ("gpt2", CONTEXT, 24)
    assert gpt2.growth[8.0] is None
    assert 1.0 not in rope.growth
    for ratio in (0.25, 2.0, 8.0):
        details = [run.scores[0].detail for run in RUNS if run.arm == "position=rope"]
        own = [p["growth"] for d in details for p in d["points"] if (p["ratio"], p["mode"]) == (ratio, "sliding")]
        found = rope.growth[ratio]
        assert found is not None
        assert found.mean == pytest.approx(np.mean(own))
        assert (found.num_seeds, found.num_items) == (4, 24)
    at4 = rope.growth[4.0]
    assert at4 is not None
    assert at4.mean == pytest.approx(2 * (SLOPE + 0.003))


def test_the_interval_counts_seeds_and_blocks() -> None:
    _, rope, _ = growth_rows(STUDY, RUNS, list(VALUES), "sliding")
    found = rope.growth[2.0]
    assert found is not None
    assert found.components.seeds == pytest.approx(0.002**2 * np.var(range(4), ddof=1) / 4)
    wobbles = [p["block_nats"] for p in RUNS[4].scores[0].detail["points"][:6] if p["ratio"] in (1.0, 2.0)]
    blocks = np.subtract(wobbles[1], wobbles[0]) / CONTEXT
    assert found.components.items == pytest.approx(blocks.var(ddof=1) / 24)
    one_seed = growth_rows(STUDY, [RUNS[4]], ["position=rope"], "sliding")[0].growth[2.0]
    assert one_seed is not None
    assert one_seed.standard_error == pytest.approx(blocks.std(ddof=1) / math.sqrt(24))


def test_the_ratio_of_perplexities() -> None:
    _, rope, _ = growth_rows(STUDY, RUNS, list(VALUES), "non-overlapping")
    found = rope.growth[2.0]
    assert found is not None
    assert found.ci95 is not None
    ratio, ends = as_ratio(found)
    assert ratio == pytest.approx(math.exp(SLOPE + 0.003 - 0.1)), "a longer window has fewer early tokens"
    assert ends == pytest.approx((math.exp(found.ci95[0]), math.exp(found.ci95[1])))
