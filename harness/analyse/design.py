"""What a study's design says: with which arm each is compared, and the values of its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.analyse.factorial import Factor
from harness.analyse.outcomes import outcomes
from harness.analyse.scores import PRIMARY
from harness.analyse.text import listing, seeds
from harness.records.record import StudyRecord, StudyRun

Levels = tuple[int, ...]


@dataclass(frozen=True)
class Table:
    """The cells of a design over the seeds that all of them finished; `left_out` says which others there were and why.

    `values` has (seed -> value) by the levels of the cell, an index a factor, 0 the baseline's.
    """

    factors: tuple[Factor, ...]
    arms: Mapping[Levels, str]
    values: Mapping[Levels, Mapping[int, float]]
    left_out: str

    @property
    def num_seeds(self) -> int:
        return len(next(iter(self.values.values()), {}))


def compared_with(study: StudyRecord) -> dict[str, str]:
    """By arm, the arm it is compared with: the baseline, where the design says nothing else."""
    told = {cell["arm"]: cell["against"] for cell in study.design.get("cells", []) if cell["against"]}
    return {arm.name: told.get(arm.name, study.baseline) for arm in study.arms if arm.name != study.baseline}


def kinds(study: StudyRecord) -> tuple[str, ...]:
    """The designs of a study."""
    return tuple(study.design.get("kinds", ("joint",)))


def table_of(study: StudyRecord, runs: Sequence[StudyRun], score: str = PRIMARY) -> Table | None:
    """The cells of a study's design, None where it has none (a joint one)."""
    if not study.design:
        return None
    factors = tuple(Factor(f["name"], tuple(f["levels"])) for f in study.design["factors"])
    arms = {tuple(cell["levels"]): cell["arm"] for cell in study.design["cells"]}
    found = {levels: outcomes(study, runs, arm, score) for levels, arm in arms.items()}
    kept = [seed for seed in study.seeds if all(seed in cell.values for cell in found.values())]
    values = {levels: {seed: cell.values[seed] for seed in kept} for levels, cell in found.items()}
    lost = [seed for seed in study.seeds if seed not in kept]
    lacking = [arms[levels] for levels, cell in found.items() if cell.lacking]
    why = f"Without {seeds(lost)}, which {_some(lacking)} did not finish." if lost else ""
    return Table(factors, arms, values, why)


def _some(arms: Sequence[str]) -> str:
    return listing(arms) if len(arms) <= 3 else f"{len(arms)} arms"
