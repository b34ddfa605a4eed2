"""Which ability does an arm improve? Excess nats over the entropy floor by facet, of runs on `--data microworld`.

Reads the details of the scores called `facets`, each a `FacetScores.to_json()`. One value a run and facet: levels over
seeds, differences from the baseline paired by seed. All differences of one part are a family of tests, so their
p-values are Holm's.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analyse.levels import Level, level
from harness.analyse.outcomes import by_arm
from harness.analyse.scores import records_of
from harness.analyse.statistics import holm, paired_t
from harness.records.record import StudyRecord, StudyRun

SCORE = "facets"

PARTS = {"answer": "excess on answers", "all": "excess on all text"}
"""The parts of a facet, the more telling first."""

Found = Mapping[int, Mapping[str, Any]]
"""A facet's row of the record, by seed."""


@dataclass(frozen=True)
class FacetDifference:
    """Arm minus baseline in nats per byte, over the seeds that both have; `level.ci95` is of it alone."""

    level: Level
    p_value: float | None  # paired t-test, two-sided; None for one seed
    p_adjusted: float | None  # Holm's over all facets and arms


@dataclass(frozen=True)
class FacetRow:
    """One arm on one part of one facet; `place` is the arm's in the study."""

    arm: str
    place: int
    is_baseline: bool
    facet: str
    part: str
    excess: Level  # nats per byte over the floor
    floor: float  # nats per byte
    right: Level | None  # share of answers right; None where the part has none
    difference: FacetDifference | None  # None for the baseline, and without a common seed


def facet_rows(study: StudyRecord, runs: Sequence[StudyRun], part: str) -> list[FacetRow]:
    """A row an arm and facet, arms in the study's order; none for arms without the score."""
    assert part in PARTS, part
    mine = by_arm(runs)
    found = {arm.name: _by_facet(mine.get(arm.name, ()), arm.name, part) for arm in study.arms}
    facets = list(dict.fromkeys(facet for seeds in found.values() for facet in seeds))
    rows = []
    for place, (arm, by_facet) in enumerate(found.items()):
        for facet in facets:
            excess = _numbers(by_facet.get(facet, {}), "excess_per_byte")
            average = level(list(excess.values()))
            if average is None:
                continue
            is_baseline = arm == study.baseline
            before = {} if is_baseline else _numbers(found[study.baseline].get(facet, {}), "excess_per_byte")
            rows.append(
                FacetRow(
                    arm=arm,
                    place=place,
                    is_baseline=is_baseline,
                    facet=facet,
                    part=part,
                    excess=average,
                    floor=next(iter(by_facet[facet].values()))["floor_per_byte"],
                    right=level(list(_numbers(by_facet[facet], "right").values())),
                    difference=_difference([excess[seed] - before[seed] for seed in excess if seed in before]),
                )
            )
    return _adjusted(rows)


def _by_facet(runs: Sequence[StudyRun], arm: str, part: str) -> dict[str, dict[int, Mapping[str, Any]]]:
    """The rows of an arm's records for that part, by facet and seed."""
    found: dict[str, dict[int, Mapping[str, Any]]] = {}
    for seed, records in sorted(records_of(runs, arm, SCORE).items()):
        for row in records[0].detail["parts"]:
            if row["part"] == part:
                found.setdefault(row["facet"], {})[seed] = row
    return found


def _numbers(rows: Found, name: str) -> dict[int, float]:
    """One number of each seed, where it is one."""
    return {seed: row[name] for seed, row in rows.items() if row[name] is not None and math.isfinite(row[name])}


def _difference(differences: Sequence[float]) -> FacetDifference | None:
    average = level(differences)
    if average is None:
        return None
    return FacetDifference(average, paired_t(differences).p if average.n > 1 else None, None)


def _adjusted(rows: Sequence[FacetRow]) -> list[FacetRow]:
    """The rows with Holm's p-values over all their differences."""
    adjusted = holm([None if row.difference is None else row.difference.p_value for row in rows])
    return [
        row
        if row.difference is None
        else dataclasses.replace(row, difference=dataclasses.replace(row.difference, p_adjusted=p))
        for row, p in zip(rows, adjusted, strict=True)
    ]
