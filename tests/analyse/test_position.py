"""Loss by position as lines: means over seeds, in spans that grow."""

from __future__ import annotations

import pytest

from harness.analyse.levels import level
from harness.analyse.position import SINGLE, _spans, position_lines
from harness.records.example import example_runs, example_study
from harness.records.example_scores import CONTEXT, example_score, position_score, scored

BASE = [1.650, 1.655, 1.648, 1.652]
STUDY = example_study(("gpt2", "norm=rms", "gone"))
RUNS = example_runs({"gpt2": BASE, "norm=rms": BASE, "gone": [None] * 4})


def test_a_line_an_arm_in_the_colour_of_its_place() -> None:
    runs = scored(RUNS, lambda run: [position_score(run)] * (run.arm != "gpt2"))
    (line,) = position_lines(STUDY, runs)
    assert (line.arm, line.place, line.is_baseline) == ("norm=rms", 1, False)
    both = position_lines(STUDY, scored(RUNS, lambda run: [position_score(run)]))
    assert [(one.arm, one.is_baseline) for one in both] == [("gpt2", True), ("norm=rms", False)]
    assert position_lines(STUDY, RUNS) == []


def test_a_point_is_the_mean_over_seeds_at_the_tokens_seen() -> None:
    (line,) = position_lines(example_study(("gpt2",)), scored(RUNS[:4], lambda run: [position_score(run)]))
    assert line.band.xs[0] == 2, "nothing of the first position is text"
    expected = level([1.6 + 2 / 10 + 0.01 * seed for seed in range(4)])
    assert expected is not None
    at10 = line.band.levels[line.band.xs.index(10)]
    assert (at10.mean, at10.ci95) == (pytest.approx(expected.mean), pytest.approx(expected.ci95))
    assert CONTEXT - 8 < line.band.xs[-1] <= CONTEXT
    last = line.band.levels[-1]
    assert last.mean == pytest.approx(1.6 + 2 / line.band.xs[-1] + 0.015, abs=1e-4)


@pytest.mark.parametrize("length", [1, 5, SINGLE, SINGLE + 1, 128, 1000, 4096])
def test_spans_cover_every_position_once(length: int) -> None:
    spans = _spans(length)
    assert [p for first, end in spans for p in range(first, end)] == list(range(length))
    assert all(end - first == 1 for first, end in spans[:SINGLE])
    assert len(spans) < 85


def test_a_span_without_text_has_no_point() -> None:
    detail = {"context": 4, "nats": [None, 2.0, None, 1.0]}
    (line,) = position_lines(
        example_study(("gpt2",)), scored(RUNS[:4], lambda run: [example_score(run, "position", (), detail)])
    )
    assert line.band.xs == (2, 4)
