"""The section on speed and memory, of studies of every size and of what was not measured."""

from __future__ import annotations

import dataclasses

import matplotlib as mpl

from harness.records.example_measurements import example_throughput
from harness.records.score import Measurement
from harness.reporting.figures.style import INK, for_page
from harness.reporting.sections.throughput import section

TWO = {"gpt2": 1.0, "norm=rms": 0.9}


def test_every_case_has_its_table(studied, whole) -> None:
    made = whole(section, studied(TWO, example_throughput(TWO)))
    assert [grid.title for grid in made.grids] == [
        "Training step",
        "Prefill",
        "Decoding",
        "Memory and kernels",
        "Decode latency, a + b t",
    ]
    training = dict(zip(made.grids[0].columns, made.grids[0].rows[1], strict=True))
    assert training == {
        "arm": "norm=rms",
        "batch": "4",
        "context": "128",
        "tokens/s": "92,200",
        "95 % interval": "[91,200, 93,100]",
        "against gpt2": "-10.0 % [-10.9, -9.1]",
        "in a word": "slower",
        "ms a call": "5.56",
        "MFU": "25.0 %",
    }
    assert dict(zip(made.grids[2].columns, made.grids[2].rows[0], strict=True))["bandwidth"] == "50.0 %"
    assert "Other contexts are in the figure below" in made.grids[2].note
    assert made.grids[3].rows[0][1:5] == ("6.00 MiB", "3.00 MiB", "768 B", "eager")
    latency = dict(zip(made.grids[4].columns, made.grids[4].rows[0], strict=True))
    assert (latency["a, ms"], latency["b, ms per 1,000 tokens"], latency["b t = a at, tokens"]) == (
        "0.4",
        "1.00",
        "400",
    )
    assert [drawing.name for drawing in made.drawings] == ["latency"]
    assert "Timings on a CPU say nothing of a GPU" in made.notes[-1]


def test_training_alone(studied, whole) -> None:
    made = whole(section, studied(TWO, example_throughput(TWO, batch_sizes=())))
    assert [grid.title for grid in made.grids] == ["Training step", "Memory and kernels"]
    assert made.drawings == ()


def test_missing_numbers(studied, whole) -> None:
    gone = example_throughput(TWO, known=False, limits={"gpt2": 128, "norm=rms": 0})
    made = whole(section, studied(TWO, gone))
    assert "N/A for norm=rms: position=learned is defined for 128 positions" in made.grids[0].note
    assert made.grids[0].rows[1][3] == "N/A"
    assert made.grids[0].rows[0][-1] == "n/a", "no ceiling, no MFU"
    assert made.grids[3].rows[0][1:4] == ("n/a", "n/a", "cannot decode")
    assert not any("b t" in grid.title for grid in made.grids)


def test_one_arm_and_forty(studied, whole) -> None:
    assert "against" not in " ".join(whole(section, studied(["gpt2"], example_throughput({"gpt2": 1.0}))).notes[:1])
    many = {f"arm {i}": 1 + 0.05 * i for i in range(40)}
    made = whole(section, studied(many, example_throughput(many)))
    assert len(made.grids[0].rows) == 40
    assert len(" ".join(made.notes)) < 4000


def test_hostile_names(studied, whole, hostile) -> None:
    names = {arm.name: 1.0 + i for i, arm in enumerate(hostile.study.arms)}
    whole(section, studied(names, example_throughput(names)))
    long = {"g" * 300: 1.0, "x" * 300: 2.0}
    whole(section, studied(long, example_throughput(long)))


def test_not_measured_and_failed(studied) -> None:
    assert section(studied(TWO)) is None
    failed = dataclasses.replace(example_throughput(TWO), status="failed", reason="no run of gpt2 finished", detail={})
    made = section(studied(TWO, failed))
    assert made is not None
    assert made.notes == ("The measurement failed: no run of gpt2 finished.",)
    assert section(studied(TWO, Measurement("profile", {}, "finished", ""))) is None


def test_the_same_records_give_the_same_bytes_whatever_the_users_style(studied) -> None:
    material = studied(TWO, example_throughput(TWO))
    first = section(material)
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "red", "text.parse_math": True}):
        assert section(material) == first
    assert first is not None
    for drawing in first.drawings:
        assert INK in drawing.svg
        assert INK not in for_page(drawing.svg)
