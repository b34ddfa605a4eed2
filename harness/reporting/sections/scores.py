"""One row an arm with all that it scored, each score with its interval and its difference from the baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.analyse.documents import DocumentRow, document_rows
from harness.analyse.experts import MEASURES, health_rows
from harness.analyse.lmeval import uninformative
from harness.analyse.measured import Quantity, Reading, quantities
from harness.analyse.quantities import change, percent, rounded, size
from harness.analyse.scoreboard import ScoreRow, arm_order, score_rows
from harness.analyse.scores import PRIMARY, SCORES, Score, absences, scores_of
from harness.analyse.text import interval, number, signed
from harness.analyse.throughput import timings
from harness.records.record import StudyRecord
from harness.reporting.cells import NOT_AVAILABLE, absence_rows, difference_line, level_text, lines
from harness.reporting.section import Grid, Material, Section
from harness.reporting.sections.experts import HEADS

Column = tuple[str, dict[str, str]]
"""A head, and the cell of each arm that has one."""

_SHOWN: dict[str, Callable[[float], str]] = {"B": size, "share": percent}
"""Units that their number says."""

LOSSES = (PRIMARY, "bits_per_byte", "perplexity")
"""Of `SCORES`; nats per token is the logarithm of the perplexity beside it."""


def section(material: Material) -> Section | None:
    """The scores of every arm; None before a run has finished."""
    study, runs = material.study, material.runs
    if not any(run.record.status == "finished" for run in runs):
        return None
    scores = [score for name, score in scores_of(runs).items() if name in LOSSES or name not in SCORES]
    rows = score_rows(study, runs, material.comparisons, scores)
    timed = _timed(material)
    columns = [*_scored(study, scores, rows, uninformative(study, runs)), *_balance(material), *timed]
    grids = [
        Grid(
            columns=("arm", *(head for head, _ in columns)),
            rows=[(row.arm, *(cells.get(row.arm, NOT_AVAILABLE) for _, cells in columns)) for row in rows],
            note=_note(study, len(scores), bool(timed)),
        )
    ]
    missing = absence_rows(absences(runs))
    if missing:
        grids.append(Grid(("score", "reason"), missing, title="Not scored"))
    documents = document_rows(study, runs, arm_order(study, material.comparisons))
    if documents:
        grids.append(_documents(study, documents))
    return Section("Scores", grids=tuple(grids))


def _scored(
    study: StudyRecord, scores: Sequence[Score], rows: Sequence[ScoreRow], at_chance: frozenset[str]
) -> list[Column]:
    """What the runs of each arm scored."""
    return [(_head(study, score, at_chance), {row.arm: _cell(row, score) for row in rows}) for score in scores]


def _balance(material: Material) -> list[Column]:
    """How evenly the experts of each arm are used; none in a study without a mixture."""
    arms = arm_order(material.study, material.comparisons)
    rows = {row.arm: row for row in health_rows(material.study, material.runs, arms)}
    cells = {
        name: {arm: level_text(rows[arm].measures[name]) if arm in rows else "no experts" for arm in arms}
        for name in MEASURES
    }
    return [(HEADS[name], cells[name]) for name in MEASURES] if rows else []


def _timed(material: Material) -> list[Column]:
    """Speed and memory; none where they were not measured."""
    measured = material.measurement("throughput")
    if measured is None or measured.status == "failed":
        return []
    found = quantities(timings(measured.detail))
    return [(_quantity_head(q), {arm: _reading(q, reading) for arm, reading in q.readings.items()}) for q in found]


def _quantity_head(q: Quantity) -> str:
    unit = "" if q.unit in _SHOWN else f"{q.unit}, "
    return f"{q.title}, {unit}{q.direction} is better"


def _reading(q: Quantity, reading: Reading) -> str:
    """`28,000 [25,900, 31,800]`, and below it `Δ -2.1 % [-2.6, -1.7]`."""
    show = _SHOWN.get(q.unit, rounded)
    ends = "" if reading.ci95 is None else f" [{show(reading.ci95[0])}, {show(reading.ci95[1])}]"
    return lines(f"{show(reading.value)}{ends}", "" if reading.percents is None else f"Δ {change(reading.percents)}")


def _head(study: StudyRecord, score: Score, at_chance: frozenset[str]) -> str:
    """`cloze acc, share of items, higher is better, chance 0.25`."""
    unit = f"{score.unit} of tokenizer {_tokenizer(study)}" if score.name == "perplexity" else score.unit
    chance = "" if score.chance is None else f", chance {number(score.chance, min(score.decimals, 3))}"
    return f"{score.title}, {unit}, {score.direction} is better{chance}" + (
        ", uninformative" if score.name in at_chance else ""
    )


def _tokenizer(study: StudyRecord) -> str:
    return str(study.data.get("tokenizer", "of the study"))


def _cell(row: ScoreRow, score: Score) -> str:
    cell = row.cells[score.name]
    return lines(
        level_text(cell.level, score.decimals, row.num_finished or None),
        difference_line(cell.comparison, score.decimals),
    )


def _note(study: StudyRecord, num_scores: int, timed: bool) -> str:
    others = (
        " The verdict is about the first column alone. Intervals are not corrected for how many there are: where "
        "nothing differs, one of twenty still leaves out zero."
    )
    speed = (
        f" Speed is one measurement of all arms side by side: medians with intervals over its blocks, Δ in percent of "
        f"{study.baseline}'s; memory is counted and has none. Under which kernels, and at other contexts: below."
    )
    return (
        "First line: mean over an arm's finished seeds with its 95 % Student interval. Second line, Δ: difference from "
        f"{study.baseline} on the same seeds, with the 95 % interval of the paired t-test. First lines may overlap "
        "where a difference is sure: pairing takes out what a seed does to both arms. These intervals cover seeds, and "
        f"not the sampling of documents or items.{others if num_scores > 1 else ''}{speed if timed else ''}"
    )


def _documents(study: StudyRecord, rows: Sequence[DocumentRow]) -> Grid:
    columns = (
        "arm",
        "documents",
        "validation loss",
        "standard error, documents",
        "difference",
        "95 % interval, seeds and documents",
        "standard error of the difference, seeds",
        "standard error of the difference, documents",
    )
    reasons = " ".join(f"{row.reason[:1].upper()}{row.reason[1:]}." for row in rows if row.reason)
    note = (
        "In nats per byte. The standard error over documents is that of a ratio, with each document as one cluster "
        "(Cochran 1977), of the mean over seeds: how far the level would move on other documents of this kind. Arms "
        "share documents, so their difference moves much less. Its interval here counts seeds and documents as crossed "
        f"random effects, arm minus {study.baseline}; the two last columns are what each adds beside their "
        f"interaction. With one seed it covers documents alone, with one document seeds alone. {reasons}"
    )
    return Grid(columns, [_document_row(row) for row in rows], note.strip(), "Validation loss over documents")


def _document_row(row: DocumentRow) -> tuple[str, ...]:
    start = (row.arm, f"{row.num_documents:,}", number(row.loss), number(row.standard_error))
    found = row.difference
    if found is None:
        empty = NOT_AVAILABLE if row.reason else ""
        return (*start, empty, empty, empty, empty)
    return (
        *start,
        signed(found.mean),
        interval(found.ci95),
        number(row.seeds_error, 5),
        number(row.documents_error, 5),
    )
