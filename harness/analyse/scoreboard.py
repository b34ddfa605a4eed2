"""One row an arm with everything it scored: the level of each score, and its paired difference from the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analyse.comparison import Comparison, compare
from harness.analyse.levels import Level, level
from harness.analyse.outcomes import by_arm, outcomes
from harness.analyse.scores import Score
from harness.analyse.tables import worst_first
from harness.records.record import StudyRecord, StudyRun


@dataclass(frozen=True)
class Cell:
    """A score of an arm over the seeds that have it, and the comparison with the baseline, which itself has none."""

    level: Level | None
    comparison: Comparison | None


@dataclass(frozen=True)
class ScoreRow:
    """`cells` by the name of the score."""

    arm: str
    num_finished: int
    cells: dict[str, Cell]


def arm_order(study: StudyRecord, comparisons: Sequence[Comparison]) -> list[str]:
    """The baseline, then the arms as `worst_first` puts them: the order of every table."""
    return [study.baseline, *(comparison.arm for comparison in worst_first(comparisons))]


def score_rows(
    study: StudyRecord, runs: Sequence[StudyRun], comparisons: Sequence[Comparison], scores: Sequence[Score]
) -> list[ScoreRow]:
    """The rows in `arm_order`; `comparisons` are those of the primary score."""
    against = {score.name: {c.arm: c for c in compare(study, runs, score.name)} for score in scores}
    mine = by_arm(runs)
    return [_row(study, mine.get(arm, []), arm, against) for arm in arm_order(study, comparisons)]


def _row(study: StudyRecord, mine: Sequence[StudyRun], arm: str, against: dict[str, dict[str, Comparison]]) -> ScoreRow:
    cells = {
        name: Cell(level(list(outcomes(study, mine, arm, name).values.values())), compared.get(arm))
        for name, compared in against.items()
    }
    return ScoreRow(arm, sum(run.record.status == "finished" for run in mine), cells)
