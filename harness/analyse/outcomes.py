"""What became of an arm's planned runs: a value a seed, or the word for why there is none."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from harness.records.record import StudyRecord, StudyRun

Missing = Literal["diverged", "failed", "without this score", "missing"]


@dataclass(frozen=True)
class Outcomes:
    """`values` and `lacking` share out the study's seeds; "missing" is a run that is planned and not there yet."""

    arm: str
    values: dict[int, float]
    lacking: dict[int, Missing]

    def seeds(self, word: Missing) -> list[int]:
        return [seed for seed, why in self.lacking.items() if why == word]


def by_arm(runs: Iterable[StudyRun]) -> dict[str, list[StudyRun]]:
    """The runs of each arm, for whoever asks for arm after arm: a study of 10,000 runs is gone through once."""
    found: dict[str, list[StudyRun]] = {}
    for run in runs:
        found.setdefault(run.arm, []).append(run)
    return found


def outcomes(study: StudyRecord, runs: Iterable[StudyRun], arm: str, score: str) -> Outcomes:
    """The outcomes of one arm, seeds in the study's order."""
    found = {run.seed: run for run in runs if run.arm == arm}
    values: dict[int, float] = {}
    lacking: dict[int, Missing] = {}
    for seed in study.seeds:
        run = found.get(seed)
        value = run.value(score) if run is not None else None
        if run is None:
            lacking[seed] = "missing"
        elif run.record.status != "finished":
            lacking[seed] = run.record.status
        elif value is None or not math.isfinite(value):
            lacking[seed] = "without this score"
        else:
            values[seed] = value
    return Outcomes(arm, values, lacking)
