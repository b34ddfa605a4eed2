"""Abilities: a table of the excess, two of differences, a figure; nothing on another corpus."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from harness.analyse.facets import facet_rows
from harness.records.score import ScoreRecord
from harness.reporting.figures.facets import facet_plot
from harness.reporting.figures.style import ARMS, INK
from harness.reporting.section import Material
from harness.reporting.sections.facets import section

ROPE = "position=rope"


def part(facet: str, name: str, excess: float, right: float | None) -> dict[str, Any]:
    return {"facet": facet, "part": name, "excess_per_byte": excess, "floor_per_byte": 0.25, "right": right}


def scored(material: Material, status: str = "finished", arm: str = "") -> Material:
    """Facets beside every run; those of `arm` failed."""
    runs = []
    for run in material.runs:
        better = 0.5 * (run.arm == ROPE) + 0.01 * run.seed
        parts = [
            part("opening", "all", 0.01, None),
            part("recall", "all", 0.9 - better / 2, 0.4),
            part("recall", "answer", 2.0 - better, 0.4),
            part("nesting", "all", 0.3, 0.9),
            part("nesting", "answer", 0.5, 0.9),
        ]
        score = ScoreRecord("", {}, run.record.key, "facets", "finished", "", detail={"parts": parts})
        if run.arm == arm:
            score = dataclasses.replace(score, status="failed", reason="RuntimeError: out of memory", detail={})
        runs.append(dataclasses.replace(run, scores=(score,)))
    return dataclasses.replace(material, runs=runs)


def test_tables_and_a_figure(studied: Callable[..., Material], whole: Callable[..., Any]) -> None:
    found = whole(section, scored(studied(["gpt2", ROPE])))
    assert found.title == "Abilities"
    excess, answers, text = found.grids
    assert [row[:2] for row in excess.rows] == [
        (arm, facet) for arm in ("gpt2", ROPE) for facet in ("opening", "recall", "nesting")
    ]
    recall = dict(zip(excess.columns, excess.rows[1], strict=True))
    assert recall["excess on answers"].startswith("1.9850 [1.96")
    assert (recall["answers right"], recall["seeds"], recall["floor"]) == ("40.0%", "4", "0.2500")
    assert excess.rows[0][3] == excess.rows[0][5] == "N/A"
    assert answers.title == "Excess on answers, against gpt2"
    assert answers.rows[0] == (ROPE, "recall", "-0.5000", "[-0.5000, -0.5000]", "4", "< 0.0001")
    assert answers.rows[1][:4] == (ROPE, "nesting", "+0.0000", "[+0.0000, +0.0000]")
    assert "the 2 differences of this table" in answers.note
    assert [row[1] for row in text.rows] == ["opening", "recall", "nesting"]
    assert [drawing.name for drawing in found.drawings] == ["facets"]


def test_one_arm_and_one_seed_have_what_they_have(studied: Callable[..., Material], whole: Callable[..., Any]) -> None:
    alone = whole(section, scored(studied(["gpt2"])))
    assert len(alone.grids) == 1
    single = whole(section, scored(studied(["gpt2", ROPE], seeds=1)))
    assert single.grids[1].rows[0] == (ROPE, "recall", "-0.5000", "no interval", "1", "n/a")


def test_an_arm_that_failed_is_said(studied: Callable[..., Material], whole: Callable[..., Any]) -> None:
    found = whole(section, scored(studied(["gpt2", ROPE]), arm=ROPE))
    assert found.notes[1] == f"N/A for {ROPE}: failed: RuntimeError: out of memory."
    assert {row[0] for row in found.grids[0].rows} == {"gpt2"}


def test_nothing_without_the_score(studied: Callable[..., Material]) -> None:
    material = studied(["gpt2", ROPE])
    assert section(material) is None
    assert section(scored(studied(["gpt2"]), arm="gpt2")) is None


def test_the_figure_is_the_same_every_time_in_the_colours_of_the_arms(studied: Callable[..., Material]) -> None:
    material = scored(studied(["gpt2", "norm=rms", ROPE]))
    rows = facet_rows(material.study, material.runs, "answer")
    svg = facet_plot(rows, "answers")
    assert svg == facet_plot(rows, "answers")
    assert INK in svg
    assert ARMS[1] in svg
    assert ARMS[2] in svg
    without = facet_plot([row for row in rows if row.arm != "norm=rms"], "answers")
    assert ARMS[2] in without, "an arm keeps its colour when another is missing"
    assert ARMS[1] not in without


@pytest.mark.parametrize("name", ["<script>", "_hidden", "x" * 300])
def test_any_name_can_be_drawn(name: str, studied: Callable[..., Material], whole: Callable[..., Any]) -> None:
    whole(section, scored(studied(["gpt2", name])))
