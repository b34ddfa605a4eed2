"""The section on quality against throughput."""

from __future__ import annotations

import dataclasses

import matplotlib as mpl

from harness.records.example_measurements import example_throughput
from harness.reporting.figures.style import INK, for_page
from harness.reporting.sections.pareto import section

TWO = {"gpt2": 1.0, "norm=rms": 1.5}


def test_who_is_dominated_is_said_and_drawn(studied, whole) -> None:
    made = whole(section, studied(TWO, example_throughput(TWO)))
    assert "gpt2 is dominated by norm=rms beyond the 95 % intervals of loss and rate" in made.notes[0]
    assert [grid.title for grid in made.grids] == ["Training", "Decoding, batch 1, context 128"]
    base = dict(zip(made.grids[0].columns, made.grids[0].rows[0], strict=True))
    assert (base["loss, nats per byte"], base["seeds"], base["tokens/s"]) == ("1.6513", "4", "102,000")
    assert base["time of a run"] == "16 s"
    assert base["dominated"] == "beyond the intervals\nby norm=rms"
    assert made.grids[0].rows[1][-1] == "no"
    assert "time of a run" not in made.grids[1].columns
    assert [drawing.name for drawing in made.drawings] == ["pareto"]


def test_training_alone_is_one_panel(studied, whole) -> None:
    made = whole(section, studied(TWO, example_throughput(TWO, batch_sizes=())))
    assert len(made.grids) == 1


def test_an_arm_without_a_point_is_named(studied, whole) -> None:
    made = whole(section, studied([*TWO, "late"], example_throughput(TWO)))
    assert "Without a point: late, was not timed." in made.grids[0].note
    assert [row[0] for row in made.grids[0].rows] == ["gpt2", "norm=rms"]


def test_one_arm_one_seed_forty_and_hostile(studied, whole, hostile) -> None:
    made = whole(section, studied(["gpt2"], example_throughput({"gpt2": 1.0}), seeds=1))
    assert made.grids[0].rows[0][2] == "no interval"
    many = {f"arm {i}": 1 + 0.05 * i for i in range(40)}
    made = whole(section, studied(many, example_throughput(many)))
    assert len(made.notes[0]) < 1500
    names = {arm.name: 1.0 + i for i, arm in enumerate(hostile.study.arms)}
    whole(section, studied(names, example_throughput(names)))


def test_nothing_to_show(studied) -> None:
    assert section(studied(TWO)) is None
    failed = dataclasses.replace(example_throughput(TWO), status="failed", reason="x", detail={})
    assert section(studied(TWO, failed)) is None
    assert section(studied(["other"], example_throughput(TWO))) is None


def test_the_same_records_give_the_same_bytes_whatever_the_users_style(studied) -> None:
    material = studied(TWO, example_throughput(TWO))
    first = section(material)
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "red", "text.parse_math": True}):
        assert section(material) == first
    assert first is not None
    for drawing in first.drawings:
        assert INK in drawing.svg
        assert INK not in for_page(drawing.svg)
