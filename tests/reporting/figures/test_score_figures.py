"""The figures of scores: the same bytes every time, and every arm in its colour."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import pytest
from matplotlib.colors import to_hex

from harness.analyse.experts import capacity_lines, load_maps
from harness.analyse.extrapolation import panels
from harness.analyse.levels import Band, Level
from harness.analyse.position import position_lines
from harness.reporting.figures.capacity import capacity_plot
from harness.reporting.figures.experts import LOADS, load_plot
from harness.reporting.figures.extrapolation import extrapolation_plot
from harness.reporting.figures.position import position_plot
from harness.reporting.figures.style import ARMS, INK, for_page
from harness.reporting.section import Material

FIGURES: dict[str, tuple[Callable[..., Any], Callable[..., str]]] = {
    "position": (position_lines, position_plot),
    "extrapolation": (panels, extrapolation_plot),
    "experts": (load_maps, load_plot),
    "capacity": (capacity_lines, capacity_plot),
}


def drawn(name: str, material: Material) -> str:
    data, plot = FIGURES[name]
    return plot(data(material.study, material.runs))


def height(svg: str) -> float:
    return float(ET.fromstring(svg).attrib["height"].removesuffix("pt"))


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_data_gives_the_same_bytes(name: str, with_scores) -> None:
    first = drawn(name, with_scores)
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "red", "lines.linewidth": 9}):
        assert drawn(name, with_scores) == first
    ET.fromstring(for_page(first))
    assert f'id="{name}-' in first
    assert "<image" not in first, "all of it is drawn, so that it is sharp at any size"


def test_an_arm_has_one_colour_in_every_figure(with_scores) -> None:
    rope, moe = ARMS[1], ARMS[2]
    assert rope in drawn("position", with_scores)
    assert rope in drawn("extrapolation", with_scores)
    for name in ("position", "extrapolation"):
        assert INK in drawn(name, with_scores)
        assert moe in drawn(name, with_scores)
    assert moe in drawn("capacity", with_scores)
    assert rope not in drawn("capacity", with_scores), "RoPE has no experts"


def test_a_panel_a_position_variant(with_scores, equivalent) -> None:
    two = drawn("extrapolation", with_scores)
    data = panels(with_scores.study, with_scores.runs)
    assert height(two) > 1.6 * height(extrapolation_plot(data[:1]))


def test_sliding_is_solid_and_non_overlapping_dashed(with_scores) -> None:
    """Lines of one arm: the baseline of each panel, and the rope arm twice."""
    data = panels(with_scores.study, with_scores.runs)[1:]
    lines = re.findall(
        rf'<path d="[^"]*" clip-path="[^"]*" style="([^"]*stroke: {ARMS[1]}[^"]*)"', extrapolation_plot(data)
    )
    assert sum("dasharray" in line for line in lines) == 1
    assert sum("dasharray" not in line for line in lines) == 1


def test_one_seed_has_lines_and_no_band(with_scores) -> None:
    one = [run for run in with_scores.runs if run.seed == 0]
    assert "fill-opacity: 0.13" in position_plot(position_lines(with_scores.study, with_scores.runs))
    assert "fill-opacity: 0.13" not in position_plot(position_lines(with_scores.study, one))


def test_a_heat_map_goes_from_idle_to_busy(with_scores) -> None:
    (data,) = load_maps(with_scores.study, with_scores.runs)
    assert data.shares[1] == pytest.approx([2.5, 1.25, 0.25, 0.0])
    svg = load_plot([data])
    for share in (0.0, 0.25, 1.25, 2.5):
        assert to_hex(LOADS(min(share, 2.0) / 2.0)) in svg
    many = load_plot([data] * 9)
    assert height(many) > 3 * height(svg)


def test_layers_may_have_different_numbers_of_experts(with_scores) -> None:
    (data,) = load_maps(with_scores.study, with_scores.runs)
    ragged = data.__class__(data.arm, 1, [[1.5, 0.5], [2.0, 1.0, 0.5, 0.5]])
    ET.fromstring(load_plot([ragged]))


def test_a_single_point_is_a_figure(with_scores) -> None:
    line = position_lines(with_scores.study, with_scores.runs)[0]
    one = line.__class__("gpt2", 0, True, Band((1.0,), (Level(2.0, None, 1),)))
    assert "nan" not in position_plot([one])
