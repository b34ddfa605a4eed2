"""One HTML file that parses, fetches nothing, runs no script but its own, and leads with the verdict."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from harness.reporting.markdown import TEMPLATES

VOID = {"meta", "br", "img", "link", "input", "hr"}
SCRIPT = (TEMPLATES / "page.js").read_text(encoding="utf-8")


class Elements(HTMLParser):
    """Every element, and a proof that each one is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)


def html(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def test_every_shape_parses_and_needs_nothing_else(shape, report_of) -> None:
    text = html(report_of(shape))
    page = Elements(text)
    assert page.open == []
    assert text.startswith("<!doctype html>")
    for tag, attributes in page.elements:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "form"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href"):
                assert value is not None
                assert value.startswith("#")
    assert [attributes for tag, attributes in page.elements if tag == "script"] == [{}]
    assert page.texts["script"] == [f"\n{SCRIPT}"]
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert len(page.texts["h1"]) == 1
    assert page.texts["h1"] == page.texts["title"]


def test_light_and_dark(equivalent, report_of) -> None:
    text = html(report_of(equivalent))
    assert "color-scheme: light dark" in text
    assert "prefers-color-scheme: dark" in text
    assert text.count("<svg") == 4, "forest, slopes, stability, curves"


def test_the_verdict_and_its_interval_come_before_everything(equivalent, report_of) -> None:
    text = html(report_of(equivalent))
    order = [
        "<h1>norm=rms is EQUIVALENT to gpt2</h1>",
        "+0.0001 nats per byte [-0.0025, +0.0028], 4 paired seeds",
        "<svg",
        "<h2>Setup</h2>",
        "<h2>Arms</h2>",
        "<h2>Differences</h2>",
        "<h2>Results</h2>",
        "<h2>Every seed</h2>",
        "<h2>Training loss</h2>",
        "<h2>How the verdict was reached</h2>",
        "<pre>python -m harness.ablate norm=rms --seeds 4</pre>",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_the_sections_of_scores_stand_in_their_order(with_scores, report_of) -> None:
    text = html(report_of(with_scores))
    order = ["Results", "Scores", "lm-eval", "Loss by position", "Length extrapolation", "Experts", "Every seed"]
    places = [text.index(f"<h2>{title}</h2>") for title in order]
    assert places == sorted(places)
    assert "1.6007 [1.5942, 1.6073]\nΔ -0.0505 [-0.0526, -0.0484]</td>" in text, "a cell of two lines"
    assert 'class="words-last"' in text


def test_hostile_scores_stay_text(hostile_scores, report_of) -> None:
    text = html(report_of(hostile_scores))
    assert text.count("<script") == 1, "the page's own"
    assert "failed: RuntimeError: out of | memory\n&lt;b&gt;" in text


def test_hostile_names_stay_text(hostile, report_of) -> None:
    text = html(report_of(hostile))
    assert text.count("<script") == 1, "the page's own"
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "</pre><b>" not in text
    assert "diverged on seed 1" in text
    assert "the loss was not finite at step 400" in text
