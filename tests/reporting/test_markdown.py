"""Markdown that a renderer shows as it was meant, whatever the names."""

from __future__ import annotations

import pytest

from harness.reporting.markdown import Verbatim, escape, render
from harness.reporting.page import page


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("norm=rms model.tied_head=false", "norm=rms model.tied_head=false"),
        ("a|b", r"a\|b"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("`code`", r"\`code\`"),
        ("one\ntwo\r\n\n three", "one two three"),
        ("[-1, +2]", "[-1, +2]"),
        ("[x](y) *z* _w_", r"[x\](y) \*z\* \_w\_"),
        (r"back\slash", r"back\\slash"),
        (3, "3"),
    ],
)
def test_escape(text: object, escaped: str) -> None:
    assert escape(text) == escaped
    assert escape(Verbatim("a|b")) == "a|b"


def test_every_shape_has_whole_tables(shape) -> None:
    text = render(page(shape))
    assert text.startswith("# ")
    assert "\n\n\n" not in text
    widths = None
    for line in text.splitlines():
        if not line.startswith("|"):
            widths = None
            continue
        cells = line.replace(r"\|", "").count("|")
        assert widths in (None, cells), line
        widths = cells


def test_the_verdict_comes_first_and_nothing_is_left_out(equivalent) -> None:
    text = render(page(equivalent))
    lines = [line for line in text.splitlines() if line]
    assert lines[0] == "# norm=rms is EQUIVALENT to gpt2"
    assert lines[2].startswith(
        "- **norm=rms is EQUIVALENT to gpt2**: +0.0001 nats per byte [-0.0025, +0.0028], 4 paired"
    )
    for part in (
        "## Setup",
        "## Arms",
        "## Differences",
        "## Results",
        "## Every seed",
        "(curves.svg)",
        "(forest.svg)",
    ):
        assert part in text
    assert "## Runs that did not finish" not in text
    assert "```\npython -m harness.ablate norm=rms --seeds 4\n```\n" in text


def test_a_cell_of_two_lines(with_scores) -> None:
    text = render(page(with_scores))
    assert "| 1.6007 [1.5942, 1.6073]<br>Δ -0.0505 [-0.0526, -0.0484] |" in text
    assert "(position.svg)" in text


def test_hostile_scores_stay_text(hostile_scores) -> None:
    prose = render(page(hostile_scores))
    prose = prose[: prose.index("## Reproduce")]
    assert "<script>" not in prose
    assert "<b>" not in prose
    assert "&lt;b&gt;" in prose


def test_hostile_names_stay_text(hostile) -> None:
    text = render(page(hostile))
    prose = text[: text.index("## Reproduce")]
    assert "<script>" not in prose
    assert "](javascript:b)" not in prose.replace(r"\](javascript:b)", "")
    fence = "`" * 4
    assert text.endswith(f"\n{fence}\n") and text.count(fence) == 2, "the command holds three backticks"  # noqa: PT018
