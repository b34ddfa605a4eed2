"""Loss by position: a figure, and why it is not there for some."""

from __future__ import annotations

from harness.reporting.sections.position import section


def test_a_figure_and_no_more(with_scores) -> None:
    found = section(with_scores)
    assert found is not None
    assert (found.title, found.notes, found.grids) == ("Loss by position", (), ())
    assert [drawing.name for drawing in found.drawings] == ["position"]
    assert "95 % Student interval" in found.drawings[0].caption


def test_failures_are_said(troubled_scores) -> None:
    found = section(troubled_scores)
    assert found is not None
    assert found.notes == ("N/A for gpt2 and position=rope: failed: RuntimeError: out of | memory\n<b>.",)


def test_nothing_without_the_score(equivalent) -> None:
    assert section(equivalent) is None
