"""What must hold of any section, whatever it is made of."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence

import pytest

from harness.analyse.comparison import compare
from harness.records.example import example_runs, example_study
from harness.records.score import Measurement
from harness.reporting import html, markdown, page
from harness.reporting.section import Material, Section

BASE = (1.650, 1.655, 1.648, 1.652)


@pytest.fixture
def studied() -> Callable[..., Material]:
    """A study of arms, each a little better than the one before, with measurements."""

    def made(arms: Sequence[str], *measurements: Measurement, seeds: int = 4) -> Material:
        losses = {
            arm: [b - 1e-3 * i + 1e-4 * (s % 2) for s, b in enumerate(BASE[:seeds])] for i, arm in enumerate(arms)
        }
        study, runs = example_study(tuple(arms), range(seeds)), example_runs(losses)
        return Material(study, runs, compare(study, runs), measurements)

    return made


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Material], Section | None], Material], Section]:
    """The section after what must hold of it: whole tables, figures that are SVG, two pages."""

    def checked(section: Callable[[Material], Section | None], material: Material) -> Section:
        made = section(material)
        assert made is not None
        for grid in made.grids:
            assert {len(row) for row in grid.rows} == {len(grid.columns)}, grid.title
            assert len(set(grid.columns)) == len(grid.columns)
            assert all(isinstance(cell, str) for row in grid.rows for cell in row)
        for drawing in made.drawings:
            ET.fromstring(drawing.svg)
            assert "<text" not in drawing.svg
            for place in re.findall(r'[\s"](?:d|x|y|transform)="([^"]*)"', drawing.svg):
                assert "nan" not in place
                assert "inf" not in place
        monkeypatch.setattr(page, "SECTIONS", (lambda _: made,))
        whole_page = page.page(material)
        text = html.render(whole_page)
        assert text.count("<script") == 1, "the page's own"
        assert f"<h2>{made.title}</h2>" in text
        assert f"## {made.title}" in markdown.render(whole_page)
        return made

    return checked
