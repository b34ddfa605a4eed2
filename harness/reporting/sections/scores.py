"""One row an arm with all that it scored, each score with its interval and its difference from the baseline."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analyse.documents import DocumentRow, document_rows
from harness.analyse.lmeval import uninformative
from harness.analyse.scoreboard import ScoreRow, arm_order, score_rows
from harness.analyse.scores import PRIMARY, SCORES, Score, absences, scores_of
from harness.analyse.text import interval, number, signed
from harness.records.record import StudyRecord
from harness.reporting.cells import NOT_AVAILABLE, absence_rows, difference_line, level_text, lines
from harness.reporting.section import Grid, Material, Section

LOSSES = (PRIMARY, "bits_per_byte", "perplexity")
"""Of `SCORES`; nats per token is the logarithm of the perplexity beside it."""


def section(material: Material) -> Section | None:
    """The scores of every arm; None before a run has finished."""
    study, runs = material.study, material.runs
    if not any(run.record.status == "finished" for run in runs):
        return None
    scores = [score for name, score in scores_of(runs).items() if name in LOSSES or name not in SCORES]
    rows = score_rows(study, runs, material.comparisons, scores)
    at_chance = uninformative(study, runs)
    grids = [
        Grid(
            columns=("arm", *(_head(study, score, at_chance) for score in scores)),
            rows=[(row.arm, *(_cell(row, score) for score in scores)) for row in rows],
            note=_note(study, len(scores)),
        )
    ]
    missing = absence_rows(absences(runs))
    if missing:
        grids.append(Grid(("score", "reason"), missing, title="Not scored"))
    documents = document_rows(study, runs, arm_order(study, material.comparisons))
    if documents:
        grids.append(_documents(study, documents))
    return Section("Scores", grids=tuple(grids))


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


def _note(study: StudyRecord, num_scores: int) -> str:
    others = (
        " The verdict is about the first column alone. Intervals are not corrected for how many there are: where "
        "nothing differs, one of twenty still leaves out zero."
    )
    return (
        "First line: mean over an arm's finished seeds with its 95 % Student interval. Second line, Δ: difference from "
        f"{study.baseline} on the same seeds, with the 95 % interval of the paired t-test. First lines may overlap "
        "where a difference is sure: pairing takes out what a seed does to both arms. These intervals cover seeds, and "
        f"not the sampling of documents or items.{others if num_scores > 1 else ''}"
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
