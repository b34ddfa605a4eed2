"""Length extrapolation: growth with intervals, N/A where positions end, and why."""

from __future__ import annotations

import dataclasses

from harness.records.example_scores import example_score
from harness.reporting.sections.extrapolation import section


def test_growth_by_ratio_with_the_ratio_of_perplexities(with_scores) -> None:
    found = section(with_scores)
    assert found is not None
    sliding, apart = found.grids
    assert sliding.title == "Growth against 1x, sliding windows"
    assert sliding.columns == ("arm", "training length, tokens", "0.25x", "0.5x", "1.25x", "1.5x", "2x", "4x", "8x")
    rows = {row[0]: row for row in sliding.rows}
    assert rows["gpt2"][4:] == ("N/A",) * 5
    growth, ratio = rows["position=rope"][sliding.columns.index("2x")].split("\n")
    assert growth.startswith("+0.0430 [")
    assert ratio.startswith("ratio 1.044 [")
    assert {row[0]: row for row in apart.rows}["position=rope"][6].startswith("-0.0570 [")


def test_why_points_are_absent_is_said_once(with_scores) -> None:
    found = section(with_scores)
    assert found is not None
    reason = "position=learned is defined for 128 positions"
    assert [note for note in found.notes if reason in note] == [
        f"N/A at 1.25x, 1.5x, 2x, 4x and 8x for gpt2 and ffn=moe: {reason}."
    ]
    assert [drawing.name for drawing in found.drawings] == ["extrapolation"]


def test_a_score_that_failed_everywhere_is_a_sentence(equivalent) -> None:
    runs = [
        dataclasses.replace(run, scores=(example_score(run, "extrapolation", reason="the split is too short"),))
        for run in equivalent.runs
    ]
    found = section(dataclasses.replace(equivalent, runs=runs))
    assert found is not None
    assert (found.grids, found.drawings) == ((), ())
    assert found.notes[-1] == "N/A for gpt2 and norm=rms: failed: the split is too short."


def test_nothing_without_the_score(equivalent) -> None:
    assert section(equivalent) is None
