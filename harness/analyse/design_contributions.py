"""What each change of a study contributes, as far as the arms of its design say it: add-one, leave-one-out, the step
on the path, the Shapley share. The contrasts are those of analyse/contributions.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.analyse.contributions import contributions
from harness.analyse.design import Levels, Table, kinds, table_of
from harness.analyse.design_effects import FEWEST_SEEDS, complete
from harness.analyse.finite import Interval
from harness.analyse.screening import screening_seeds
from harness.analyse.statistics import PairedT, paired_t
from harness.records.record import StudyRecord, StudyRun


@dataclass(frozen=True)
class ContributionRow:
    """A change; None is what the design's arms do not say. `gap` is leave-one-out minus add-one: it interacts."""

    factor: str
    change: str
    add_one: PairedT | None
    leave_one_out: PairedT | None
    gap: PairedT | None
    shapley: PairedT | None
    shapley_bootstrap: Interval | None
    share: float | None  # of the whole difference


@dataclass(frozen=True)
class StepRow:
    """A step of a path, and how far it is from the start by then."""

    arm: str
    factor: str
    change: str
    step: PairedT
    so_far: PairedT


@dataclass(frozen=True)
class Shares:
    """`total` is everything minus the baseline, which the steps and the Shapley shares add up to."""

    rows: tuple[ContributionRow, ...]
    steps: tuple[StepRow, ...]
    total: PairedT | None
    num_seeds: int
    left_out: str
    refused: str = ""


def shares_of(study: StudyRecord, runs: Sequence[StudyRun]) -> Shares | None:
    """The contributions of a study's changes; None where its design says nothing of them."""
    table = table_of(study, runs)
    if table is None or study.design.get("generators") or screening_seeds(study) or kinds(study) == ("add-one",):
        return None  # add-one alone: the differences from the baseline say it all
    if table.num_seeds < FEWEST_SEEDS:
        why = f"contributions need at least {FEWEST_SEEDS} seeds that every arm finished, got {table.num_seeds}"
        return Shares((), (), None, table.num_seeds, table.left_out, why)
    everything, nothing = (1,) * len(table.factors), (0,) * len(table.factors)
    rows = () if kinds(study) == ("path",) else _rows(table)
    steps = _steps(table) if "path" in kinds(study) else ()
    total = _between(table, everything, nothing) if all(len(f.levels) == 2 for f in table.factors) else None
    return Shares(rows, steps, total, table.num_seeds, table.left_out)


def _rows(table: Table) -> tuple[ContributionRow, ...]:
    k = len(table.factors)
    everything, nothing = (1,) * k, (0,) * k
    two_levels = all(len(factor.levels) == 2 for factor in table.factors)
    whole = contributions(complete(table)) if two_levels and len(table.values) == 2**k else None
    rows = []
    for i, factor in enumerate(table.factors):
        part = next((part for part in whole.parts if part.factor == factor.name), None) if whole else None
        for j, level in enumerate(factor.levels[1:], start=1):
            first = _differences(table, _at(nothing, i, j), nothing)
            last = _differences(table, everything, _at(everything, i, 0)) if two_levels else None
            gap = [b - a for a, b in zip(first, last, strict=True)] if first and last and k > 1 else None
            row = ContributionRow(
                factor.name,
                f"{factor.levels[0]} -> {level}",
                paired_t(first) if first else None,
                paired_t(last) if last else None,
                paired_t(gap) if gap else None,
                part.shapley if part else None,
                part.shapley_bootstrap.ci if part else None,
                part.share if part else None,
            )
            if row.add_one or row.leave_one_out:
                rows.append(row)
    return tuple(rows)


def _steps(table: Table) -> tuple[StepRow, ...]:
    k = len(table.factors)
    rows = []
    for i, factor in enumerate(table.factors):
        now, before = (1,) * (i + 1) + (0,) * (k - i - 1), (1,) * i + (0,) * (k - i)
        step, so_far = _between(table, now, before), _between(table, now, (0,) * k)
        assert step is not None
        assert so_far is not None
        rows.append(StepRow(table.arms[now], factor.name, " -> ".join(factor.levels), step, so_far))
    return tuple(rows)


def _between(table: Table, levels: Levels, other: Levels) -> PairedT | None:
    found = _differences(table, levels, other)
    return paired_t(found) if found else None


def _differences(table: Table, levels: Levels, other: Levels) -> list[float] | None:
    if levels not in table.values or other not in table.values:
        return None
    after, before = table.values[levels], table.values[other]
    found = [after[seed] - before[seed] for seed in after]
    return found if all(map(math.isfinite, found)) else None


def _at(levels: Levels, place: int, level: int) -> Levels:
    return (*levels[:place], level, *levels[place + 1 :])
