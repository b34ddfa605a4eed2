"""The report of a ladder, whatever it is of: the answer first, nothing that a name could break, nothing missing."""

from __future__ import annotations

import xml.etree.ElementTree
from pathlib import Path

import pytest

from harness.records.example_ladder import BUDGETS, branched, example_ladder, example_ladder_record, without
from harness.records.example_measurements import example_throughput
from harness.records.ladder import Rung
from harness.reporting.ladder import ladder_page, write_ladder_report
from harness.reporting.page import Page
from tests.reporting.conftest import HOSTILE, LONG


def begun(gain: float, finished: int) -> list[Rung]:
    """A ladder that was stopped after so many rungs."""
    rungs = example_ladder({"norm=rms": gain})
    return [*rungs[:finished], *(Rung(rung.label, rung.study, ()) for rung in rungs[finished:])]


def page_of(rungs: list[Rung], *, trunk: bool = False) -> Page:
    return ladder_page(example_ladder_record(rungs, trunk=trunk), rungs)


def test_the_answer_comes_first() -> None:
    measured = [example_throughput({"gpt2": 1.0, "ffn=moe": 0.8})]
    page = page_of(example_ladder({"ffn=moe": 1.4}, sd=0.001, measurements=measured))
    assert page.headline.startswith("ffn=moe is worth 1.")
    assert "times gpt2's compute at 8e+12 FLOPs, 95 % interval 1." in page.headline
    (verdict,) = page.verdicts
    assert verdict.kind == "better"
    assert verdict.words == "ffn=moe: saves compute"
    assert "In seconds it is worth 1.1" in verdict.reason
    titles = [section.title for section in page.sections]
    assert titles == [
        "Loss against compute",
        "What it is worth",
        "Does it hold with scale?",
        "The rungs",
        "Registration and deviations",
    ]
    assert [drawing.name for drawing in page.drawings] == ["worth", "ladder"]
    (worth,) = page.sections[1].grids
    assert len(worth.rows) == 4
    assert page.sections[-1].notes == ("Everything went as it was registered.",) or "registration" in str(
        page.sections[-1]
    )


def test_a_trunk_shows_its_saving_and_whether_it_agrees() -> None:
    rungs = [branched(rung, 0.02) for rung in example_ladder({"norm=rms": 1.1})]
    section = next(s for s in page_of(rungs, trunk=True).sections if s.title == "Trunk and branches")
    assert section.notes[0].startswith("Of 4 comparisons with the baseline that are known both ways, 0 differ")
    assert "4 are shown to agree within 0.01 nats per byte" in section.notes[0]
    saving, agreement = section.grids
    assert saving.rows[0][1:4] == ("1.500e+13", "9.400e+12", "37.3%")
    assert len(agreement.rows) == 8
    unknown = [Rung(r.label, r.study, r.runs) for r in rungs]
    section = next(s for s in page_of(unknown, trunk=True).sections if s.title == "Trunk and branches")
    assert "run the same command without --schedule wsd" in section.notes[0]


def test_many_arms_are_counted_and_ranked() -> None:
    page = page_of(example_ladder({f"arm {i}": 0.5 + i / 10 for i in range(12)}, sd=0.001))
    assert page.headline.startswith("12 arms against gpt2 over 4 rungs: ")
    assert "saves compute" in page.headline
    assert "costs compute" in page.headline
    assert any(section.title == "Do arms rank alike at every rung?" for section in page.sections)


@pytest.mark.parametrize(
    "rungs",
    [
        example_ladder({"norm=rms": 1.2}, BUDGETS[:2], seeds=1),
        example_ladder({HOSTILE: 1.2, LONG.format(7): 100.0}, BUDGETS[:3]),
        [without(without(rung, "norm=rms", 0), "norm=rms", 1) for rung in example_ladder({"norm=rms": 1.2}, seeds=2)],
        begun(1.2, 0),
        begun(1.2, 1),
    ],
    ids=["one seed, two rungs", "hostile names", "all diverged", "nothing run", "one rung run"],
)
def test_every_shape_of_ladder_makes_a_whole_report(rungs: list[Rung], tmp_path: Path) -> None:
    ladder = example_ladder_record(rungs)
    html = write_ladder_report(tmp_path, ladder, rungs).read_text()
    assert html.count("<script") == 1, "the page's own"
    assert "nan" not in (tmp_path / "report.md").read_text().lower().split()
    for figure in tmp_path.glob("*.svg"):
        xml.etree.ElementTree.fromstring(figure.read_text())
    before = html
    assert write_ladder_report(tmp_path, ladder, rungs).read_text() == before
