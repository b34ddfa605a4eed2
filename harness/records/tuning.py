"""A study's tuning.json: every trial of every arm's learning rate, on seeds that no verdict is taken from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.records.atomic import write_text
from harness.records.record import to_json
from harness.records.schema import SCHEMA_VERSION
from harness.records.seal import read_sealed, seal
from variants.errors import UserError

FILE = "tuning.json"


@dataclass(frozen=True)
class TuningTrial:
    """One run: an arm at a learning rate on a tuning seed. `loss` is in nats per byte, None where it did not finish."""

    arm: str
    lr: float
    seed: int
    state: Literal["complete", "failed"]
    loss: float | None
    reason: str
    key: str  # of its run


@dataclass(frozen=True)
class TuningRecord:
    """The search of a study's learning rates: the same grid around `center` for every arm, widened alike.

    `share` of each arm's own steps is what a trial trains; `whole` names the arm under which the baseline is tried at
    its whole budget, to see whether its optimum holds there, empty where share is 1.
    """

    center: float
    share: float
    seeds: list[int]
    arms: list[str]  # the baseline first
    whole: str
    sweep: str  # name of the search in the folder `tuning`
    trials: list[TuningTrial]
    created: str
    schema_version: int = SCHEMA_VERSION


def check_disjoint(tuning: Iterable[int], evaluation: Iterable[int]) -> None:
    """Raise `UserError` where a seed is tuned on and scored too: its noise would choose and then judge."""
    both = sorted(set(tuning) & set(evaluation))
    if both:
        raise UserError(
            f"seeds {', '.join(map(str, both))} would be tuned on and scored too; tuning seeds are never scored, so "
            "ask for fewer --seeds"
        )


def write_tuning(folder: Path, record: TuningRecord, evaluation: Iterable[int]) -> None:
    """Write tuning.json of a study whose verdicts are taken from the seeds `evaluation`.

    Raises:
        UserError: a seed is tuned on and scored too.
        StoreError: the disk refuses.
    """
    check_disjoint(record.seeds, evaluation)
    write_text(folder / FILE, json.dumps(seal(to_json(record)), indent=1, allow_nan=False) + "\n")


def read_tuning(folder: Path, evaluation: Iterable[int]) -> TuningRecord | None:
    """What `write_tuning` wrote, None where there is none.

    Raises:
        UserError: it is damaged, of another version, or a seed of it is scored too.
        StoreError: the disk refuses to read it.
    """
    path = folder / FILE
    if not path.exists():
        return None
    body: dict[str, Any] = read_sealed(path)
    try:
        record = TuningRecord(**{**body, "trials": [TuningTrial(**trial) for trial in body["trials"]]})
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is not a tuning's record ({error}); run the study's command again") from error
    check_disjoint([trial.seed for trial in record.trials], evaluation)
    return record
