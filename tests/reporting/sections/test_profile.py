"""The section on where the time goes."""

from __future__ import annotations

import copy
import dataclasses

import matplotlib as mpl

from harness.records.example_measurements import example_profile
from harness.reporting.figures.kinds import COLORS
from harness.reporting.figures.style import INK, for_page
from harness.reporting.sections.profile import MOST_ARMS, MOST_TRACED, section

TWO = ["gpt2", "norm=rms"]


def test_time_stands_beside_flops(studied, whole) -> None:
    made = whole(section, studied(TWO, example_profile(TWO, norm={"norm=rms": 0.17})))
    assert "normalisation is 0.2 % of the FLOPs and 17.0 % of the time" in made.notes[1]
    assert [grid.title for grid in made.grids] == [
        "Time by kind, a training step",
        "Time by kind, a decoded token",
        "Operators, training step",
        "Operators, decoded token",
        "Modules, training step",
        "Memory, training step",
        "Roofline",
    ]
    rows = {row[:2]: row[2:] for row in made.grids[0].rows}
    assert rows["normalisation", "norm=rms"] == ("0.85", "17.0 %", "0.2 %")
    assert rows["optimizer", "gpt2"] == ("0.25", "5.0 %", "0 %")
    assert rows["the clock", "gpt2"] == ("6.25", "", "")
    assert ("convolutions", "gpt2") not in rows
    assert "share of FLOPs" not in made.grids[1].columns
    assert made.grids[4].rows[1][0] == "· Layer_0"
    assert made.grids[6].rows[0] == ("layers.*.attention.q", "all arms", "1", "40,000", "1,000", "40.0", "arithmetic")
    assert [drawing.name for drawing in made.drawings] == ["kinds", "roofline"]


def test_a_colour_is_a_kinds(studied, whole) -> None:
    made = whole(section, studied(TWO, example_profile(TWO)))
    svg = made.drawings[0].svg
    assert all(COLORS[kind] in svg for kind in ("matmul", "norm", "other"))
    assert COLORS["conv"] not in svg
    assert len(set(COLORS.values())) == len(COLORS)


def test_an_unknown_ceiling_is_said_and_not_drawn(studied, whole) -> None:
    known = whole(section, studied(TWO, example_profile(TWO)))
    unknown = whole(section, studied(TWO, example_profile(TWO, known=False)))
    assert "nothing is drawn for it" in unknown.notes[-1]
    assert unknown.grids[-1].rows[0][-1] == "unknown"
    assert unknown.drawings[1].svg.count('id="roofline-axes_') == 1 < known.drawings[1].svg.count('id="roofline-axes_')
    half = copy.deepcopy(example_profile(TWO, known=False).detail)
    half["arms"][0]["roofline"]["ceilings"]["flops_per_s"] = 2e11
    made = whole(section, studied(TWO, dataclasses.replace(example_profile(TWO), detail=half)))
    assert "ceiling of bytes/s" in made.notes[-1]


def test_no_decoding_no_time_one_arm(studied, whole) -> None:
    made = whole(section, studied(["gpt2"], example_profile(["gpt2"], decodes=False)))
    assert not any("decoded" in grid.title for grid in made.grids)
    whole(section, studied(["gpt2"], example_profile(["gpt2"], time=False)))


def test_forty_arms_and_hostile_names(studied, whole, hostile) -> None:
    many = [f"arm {i}" for i in range(40)]
    made = whole(section, studied(many, example_profile(many)))
    assert len({row[1] for row in made.grids[0].rows}) == MOST_ARMS
    assert len({row[1] for row in made.grids[2].rows}) == MOST_TRACED
    assert made.grids[2].note.startswith("The first 3 of 40 arms")
    assert len(made.grids[-1].rows) == 40
    assert "1 more row in measurements/profile.json" in made.grids[-1].note
    assert len(made.notes) < 15
    names = [arm.name for arm in hostile.study.arms]
    whole(section, studied(names, example_profile(names)))
    long = ["g" * 300, "x" * 300]
    whole(section, studied(long, example_profile(long)))


def test_not_measured_and_failed(studied) -> None:
    assert section(studied(TWO)) is None
    failed = dataclasses.replace(example_profile(TWO), status="failed", reason="x", detail={})
    made = section(studied(TWO, failed))
    assert made is not None
    assert made.notes == ("The measurement failed: x.",)


def test_the_same_records_give_the_same_bytes_whatever_the_users_style(studied) -> None:
    material = studied(TWO, example_profile(TWO))
    first = section(material)
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "red", "text.parse_math": True}):
        assert section(material) == first
    assert first is not None
    for drawing in first.drawings:
        assert INK in drawing.svg
        assert INK not in for_page(drawing.svg)
