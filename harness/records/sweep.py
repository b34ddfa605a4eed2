"""A sweep's folder: sweep.json, what was searched and every trial of it. From it the report can be rebuilt."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.records.atomic import write_text
from harness.records.record import to_json
from harness.records.schema import SCHEMA_VERSION
from harness.records.seal import read_sealed, seal
from variants.errors import UserError

FILE = "sweep.json"


@dataclass(frozen=True)
class ObjectiveRecord:
    """What is optimised, and which way is better."""

    name: str
    direction: Literal["minimize", "maximize"]


@dataclass(frozen=True)
class DimensionRecord:
    """What a trial chooses: one of `values`, or a number from `low` to `high`."""

    name: str
    values: list[str] | None = None
    kind: Literal["int", "float"] | None = None
    low: float | None = None
    high: float | None = None
    log: bool = False


@dataclass(frozen=True)
class TrialRecord:
    """One trial. `rungs` holds [thousandths of the budget, training loss there]; `values` is empty unless complete."""

    number: int
    state: Literal["complete", "pruned", "failed"]
    params: dict[str, Any]
    values: list[float]
    reason: str
    arm: str
    key: str  # of its run
    seconds: float
    rungs: list[list[float]] = field(default_factory=list)


@dataclass(frozen=True)
class SweepRecord:
    """The search and its trials. `winner` is the number of the trial that was judged on fresh seeds."""

    name: str
    command: list[str]
    created: str
    baseline: str
    match: str
    budget: float
    data: dict[str, Any]
    recipe: dict[str, Any]
    sampler: str
    pruner: str
    seed: int
    objectives: list[ObjectiveRecord]
    dimensions: list[DimensionRecord]
    trials: list[TrialRecord]
    winner: int | None
    confirmation: str  # the study's folder name, empty where there was none
    note: str  # why there is no confirmation, or what a reader must know of it
    schema_version: int = SCHEMA_VERSION

    def confirmed_by(self, study: str) -> SweepRecord:
        """The same, its winner judged by the study of that name."""
        return dataclasses.replace(self, confirmation=study)


def write_sweep(folder: Path, sweep: SweepRecord) -> None:
    """Write sweep.json. Raises `StoreError` when the disk refuses."""
    write_text(folder / FILE, json.dumps(seal(to_json(sweep)), indent=1, allow_nan=False) + "\n")


def read_sweep(folder: Path) -> SweepRecord:
    """What `write_sweep` wrote.

    Raises:
        UserError: there is none, or it is damaged or of another version.
        StoreError: the disk refuses to read it.
    """
    path = folder / FILE
    try:
        body = read_sealed(path)
    except FileNotFoundError as error:
        raise UserError(f"{folder} is no sweep: it has no {FILE}") from error
    try:
        return SweepRecord(
            **{
                **body,
                "objectives": [ObjectiveRecord(**o) for o in body["objectives"]],
                "dimensions": [DimensionRecord(**d) for d in body["dimensions"]],
                "trials": [TrialRecord(**t) for t in body["trials"]],
            }
        )
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is not a sweep's record ({error})") from error
