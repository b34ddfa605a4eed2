"""An index of every study, ladder, sweep and claims ledger under a folder: index.html, with the answer of each."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from harness.analyse.claims import results, tally
from harness.analyse.ladder import climbs
from harness.analyse.ladder_text import headlines
from harness.analyse.text import count
from harness.records.atomic import StoreError, write_text
from harness.records.evidence import is_ledger, read_evidence, read_ledger
from harness.records.ladder import is_ladder, read_ladder
from harness.records.sweep import FILE as SWEEP
from harness.records.sweep import read_sweep
from harness.reporting import html
from harness.reporting.material import read_material
from harness.reporting.page import Page, page_headline
from harness.reporting.section import Grid, Section
from variants.errors import UserError

DEPTH = 3
"""Folders below the one that is given. Assumption: reports/examples/STUDY, and one to spare."""

STORE = "store"


@dataclass(frozen=True)
class Entry:
    """A row of the index. `verdicts` and `size` are words; `created` is ISO 8601."""

    place: str  # path below the index, with slashes
    kind: str
    headline: str
    verdicts: str  # apart by commas
    created: str
    size: str
    has_report: bool


def is_report(folder: Path) -> bool:
    """Whether a study, a ladder, a sweep or a ledger has its records there."""
    return (folder / "study.json").is_file() or (folder / SWEEP).is_file() or is_ladder(folder) or is_ledger(folder)


def report_folders(folder: Path, depth: int = DEPTH) -> Iterator[Path]:
    """The folders under `folder` that hold records, by name; what lies inside one of them is its own affair."""
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        if is_report(place):
            yield place
        elif depth > 1 and place.name != STORE and not place.name.startswith(".") and not place.is_symlink():
            yield from report_folders(place, depth - 1)


def write_index(folder: Path, found: Sequence[Path]) -> Path:
    """Write index.html; returns its path. A folder whose records cannot be read is listed with the reason.

    Raises:
        StoreError: the disk refuses.
    """
    write_text(folder / "index.html", html.render(index_page([_entry(folder, place) for place in found], folder)))
    return folder / "index.html"


def index_page(entries: Sequence[Entry], folder: Path) -> Page:
    """The page of an index, the newest first."""
    entries = sorted(entries, key=lambda entry: entry.created, reverse=True)
    rows = [
        (e.place, e.kind, _two_lines(e.created, "T"), _two_lines(e.size, ", "), e.verdicts, e.headline) for e in entries
    ]
    links = {e.place: quote(f"{e.place}/report.html") for e in entries if e.has_report}
    without = len(entries) - len(links)
    note = f"{count(without, 'row')} without a link: no report.html yet, python -m harness.report FOLDER writes it."
    columns = ("study", "kind", "date", "size", "verdicts", "answer")
    return Page(
        headline=f"{count(len(entries), 'report')}",
        study="index",
        created=max((e.created for e in entries), default=""),
        summary="newest first; a click on a head sorts",
        verdicts=[],
        forest=None,
        setup=[],
        sections=[Section("All studies", grids=(Grid(columns, rows, note if without else "", links=links),))],
        notes=[],
        command=shlex.join(["python", "-m", "harness.report", str(folder)]),
    )


def _two_lines(text: str, at: str) -> str:
    """`2026-11-02` over `10:00:00Z`: a narrow cell, so that the answer is in sight."""
    return text.replace(at, "\n", 1)


def _entry(root: Path, folder: Path) -> Entry:
    place, has_report = folder.relative_to(root).as_posix(), (folder / "report.html").is_file()
    try:
        said = _said(folder)
    except (UserError, StoreError) as error:
        said = ("not readable", str(error), "", "", "")
    return Entry(place, *said, has_report)


def _said(folder: Path) -> tuple[str, str, str, str, str]:
    """(kind, headline, verdicts, created, size)."""
    if is_ledger(folder):
        ledger = read_ledger(folder)
        found = results(ledger, read_evidence(folder))
        words = _counted([result.word for result in found])
        return "claims", tally(found), words, ledger.created, count(len(found), "claim")
    if is_ladder(folder):
        ladder, rungs = read_ladder(folder)
        runs = sum(len(rung.runs) for rung in rungs)
        size = f"{count(runs, 'run')}, {count(len(rungs), 'rung')}"
        return "ladder", headlines(climbs(rungs), len(rungs)), "", ladder.created, size
    if (folder / SWEEP).is_file():
        sweep = read_sweep(folder)
        judged = f"judged in {sweep.confirmation}" if sweep.confirmation else f"no verdict: {sweep.note}"
        return "sweep", judged, "", sweep.created, count(len(sweep.trials), "trial")
    found = read_material(folder)
    size = f"{count(len(found.runs), 'run')}, {count(len(found.study.arms), 'arm')}"
    words = _counted([c.verdict or "none" for c in found.comparisons])
    return "study", page_headline(found), words, found.study.created, size


def _counted(words: Sequence[str]) -> str:
    """`2 better, 1 worse`, in the order in which they come."""
    return ", ".join(f"{list(words).count(word)} {word}" for word in dict.fromkeys(words))
