"""What may be compared, and how it is read: the losses of `SCORES`, and every value that runs scored beside them.

The first row of `SCORES` is the one the verdict is about.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.records.record import StudyRun
from harness.records.score import ScoreRecord, Value
from variants.errors import UserError, nearest

PRIMARY = "nats_per_byte"


@dataclass(frozen=True)
class Score:
    """`margin_scale` turns the study's margin of equivalence, nats per byte, into this score's unit;
    None where no margin was declared, and then equivalence is not tested. `chance` is what guessing scores.
    """

    name: str  # its key in RunRecord.scores, or the name of a Value
    title: str
    unit: str
    direction: Literal["lower", "higher"]  # which is better
    margin_scale: float | None
    decimals: int  # shown
    chance: float | None = None


SCORES = {
    score.name: score
    for score in (
        Score("nats_per_byte", "validation loss", "nats per byte", "lower", 1.0, 4),
        Score("nats_per_token", "validation loss", "nats per token", "lower", None, 4),
        Score("bits_per_byte", "validation loss", "bits per byte", "lower", 1 / math.log(2), 4),
        Score("perplexity", "perplexity", "per token", "lower", None, 3),
    )
}


@dataclass(frozen=True)
class Absence:
    """Why numbers are not there: one reason, what it took, and from whom."""

    reason: str
    titles: tuple[str, ...]  # of the values, or the name of a score that failed as a whole
    arms: tuple[str, ...]


def score_named(name: str, scores: Mapping[str, Score] = SCORES) -> Score:
    """The row of `scores`, or a `UserError` that suggests the nearest."""
    if name not in scores:
        raise UserError(f"unknown score {name!r}{nearest(name, scores)}")
    return scores[name]


def scores_of(runs: Iterable[StudyRun]) -> dict[str, Score]:
    """`SCORES`, then every value of the runs by name, in the order in which they are first found.

    Raises:
        UserError: a value has one unit or direction in one run and another in the next.
    """
    found: dict[str, list[Value]] = {}
    for run in runs:
        for value in (value for record in run.scores for value in record.values):
            assert value.name not in SCORES, f"{value.name} is a loss of the run itself"
            found.setdefault(value.name, []).append(value)
    return SCORES | {name: _score(values) for name, values in found.items()}


def _score(values: Sequence[Value]) -> Score:
    first = values[0]
    for value in values:
        if (value.unit, value.direction) != (first.unit, first.direction):
            raise UserError(
                f"the score {first.name!r} is in {first.unit} ({first.direction} is better) in one run and in "
                f"{value.unit} ({value.direction}) in another; score the runs again with one version of the program"
            )
    chance = next((value.chance for value in values if value.chance is not None), None)
    return Score(first.name, first.title, first.unit, first.direction, None, _decimals(values), chance)


def _decimals(values: Sequence[Value]) -> int:
    """Five digits of the largest value, but no more than 4 decimals, 6 where all are below 0.01."""
    sizes = [abs(value.value) for value in values if value.value is not None and math.isfinite(value.value)]
    largest = max(sizes, default=0.0)
    if largest == 0 or largest >= 0.01:
        return max(0, min(4, 4 - math.floor(math.log10(largest or 1.0))))
    return 6


def records_of(runs: Iterable[StudyRun], arm: str, name: str) -> dict[int, list[ScoreRecord]]:
    """The finished scores of that name of an arm's finished runs, by seed."""
    found = {
        run.seed: [score for score in run.scores if score.name == name and score.status == "finished"]
        for run in runs
        if run.arm == arm and run.record.status == "finished"
    }
    return {seed: records for seed, records in found.items() if records}


def absences(runs: Iterable[StudyRun], names: Sequence[str] | None = None) -> list[Absence]:
    """The reasons why values are N/A and scores failed, each once; only of scores called one of `names` if given."""
    titles: dict[str, dict[str, None]] = {}  # a dict keeps the order, a set does not
    arms: dict[str, dict[str, None]] = {}
    for run in runs:
        for record in run.scores:
            if names is not None and record.name not in names:
                continue
            for title, reason in _lost(record):
                titles.setdefault(reason, {})[title] = None
                arms.setdefault(reason, {})[run.arm] = None
    return [Absence(reason, tuple(titles[reason]), tuple(arms[reason])) for reason in titles]


def _lost(record: ScoreRecord) -> list[tuple[str, str]]:
    if record.status == "failed":
        task = record.identity.get("options", {}).get("task", "")  # of lm-eval, which has a score a task
        return [(f"{record.name} {task}".strip(), f"failed: {record.reason}")]
    lost = (value for value in record.values if value.value is None or not math.isfinite(value.value))
    return [(value.title, value.reason or "not a number") for value in lost]
