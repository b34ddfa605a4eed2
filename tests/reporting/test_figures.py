"""Figures are well-formed, the same every time, and show every arm whatever it is called."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
import pytest

from harness.analyse.curves import curves
from harness.analyse.forest import forest
from harness.reporting.figures.curves import loss_curves
from harness.reporting.figures.forest import _beyond, forest_plot
from harness.reporting.figures.style import INK, LINE, for_page, labels

SVG = "{http://www.w3.org/2000/svg}"


def test_every_shape_is_well_formed_svg(shape, report_of) -> None:
    for path in report_of(shape).glob("*.svg"):
        svg = path.read_text(encoding="utf-8")
        root = ET.fromstring(svg)
        assert root.tag == f"{SVG}svg"
        assert "script" not in svg
        assert "<text" not in svg, "text is drawn as paths"
        assert "<metadata" not in svg
        for place in re.findall(r'[\s"](?:d|x|y|transform)="([^"]*)"', svg):
            assert "nan" not in place
            assert "inf" not in place


def test_the_same_data_gives_the_same_bytes(equivalent) -> None:
    data = forest(equivalent.comparisons)
    lines = curves(equivalent.study, equivalent.runs)
    assert data is not None
    first = forest_plot(data), loss_curves(lines)
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "red", "text.parse_math": True}):  # a user's matplotlibrc
        assert (forest_plot(data), loss_curves(lines)) == first
        assert mpl.rcParams["font.size"] == 20, "the user's settings are left alone"


def test_ids_of_two_figures_do_not_meet_and_every_reference_is_kept(equivalent) -> None:
    data = forest(equivalent.comparisons)
    assert data is not None
    drawn = [forest_plot(data), loss_curves(curves(equivalent.study, equivalent.runs))]
    ids = [{element.get("id") for element in ET.fromstring(svg).iter()} - {None} for svg in drawn]
    assert not ids[0] & ids[1]
    for svg, own in zip(drawn, ids, strict=True):
        links = {e.get("{http://www.w3.org/1999/xlink}href") for e in ET.fromstring(svg).iter()} - {None}
        assert {str(link).removeprefix("#") for link in links} <= own
        assert links


def test_on_a_page_ink_takes_the_colour_of_the_text(equivalent) -> None:
    data = forest(equivalent.comparisons)
    assert data is not None
    svg = forest_plot(data)
    assert INK in svg
    inside = for_page(svg)
    assert inside.startswith("<svg")
    assert INK not in inside
    assert "currentColor" in inside
    ET.fromstring(inside)


def test_the_forest_grows_with_its_rows(equivalent) -> None:
    def height(rows: int) -> float:
        data = forest([dataclasses.replace(equivalent.comparisons[0], arm=f"arm {i}") for i in range(rows)])
        assert data is not None
        return float(ET.fromstring(forest_plot(data)).attrib["height"].removesuffix("pt"))

    assert height(40) - height(39) == pytest.approx(height(5) - height(4), abs=1)
    assert height(5) - height(4) > 15, "rows are far enough apart for two lines of a name"


def test_an_interval_beyond_the_axis_is_an_arrow(equivalent) -> None:
    wild = dataclasses.replace(equivalent.comparisons[0], arm="wild", mean_difference=5.0, ci95=(-9.0, 20.0))
    calm = [dataclasses.replace(equivalent.comparisons[0], arm=f"calm {i}") for i in range(3)]
    with_arrows, without = forest([wild, *calm]), forest(calm)
    assert with_arrows is not None
    assert without is not None
    row = next(row for row in with_arrows.rows if row.arm == "wild")
    assert _beyond(row, with_arrows.limits) == [(with_arrows.limits[0], "<"), (with_arrows.limits[1], ">")]
    assert _beyond(without.rows[0], without.limits) == []


def test_labels_fit_and_differ() -> None:
    same_ends = ["a" * 200 + x + "b" * 200 for x in ("1", "2")]
    for name in (*labels(same_ends), *labels(["one\ntwo\x00three"]), *labels([" ".join(["norm=rms"] * 30)])):
        assert len(name.split("\n")) <= 2
        assert all(len(line) <= LINE + 4 for line in name.split("\n"))
    assert len(set(labels(same_ends))) == 2
    assert labels(same_ends) == labels(same_ends[::-1])[::-1], "a name is labelled alike in every figure"
    assert labels(["norm=rms"]) == ["norm=rms"]
    assert labels([""]) == [""]
