"""A ladder's folder: the same question at several budgets or sizes, a study a rung.

    ladder.json                  what was decided before the first run of any rung, and which studies are its rungs
    rungs/STUDY/                 a study's folder each, as records.study describes it
    separate/STUDY/              where rungs branch off a trunk: the same runs annealed on their own, if they are known

From these files alone the report can be rebuilt. A rung is a study like any other and has its own report.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.records.atomic import write_text
from harness.records.record import StudyRecord, StudyRun, to_json
from harness.records.registration import digest_of
from harness.records.schema import SCHEMA_VERSION
from harness.records.score import Measurement
from harness.records.seal import read_sealed, seal
from harness.records.study import read_measurements, read_study
from variants.errors import UserError

FILE = "ladder.json"
RUNGS, SEPARATE = "rungs", "separate"


@dataclass(frozen=True)
class RungRecord:
    """A rung: how it is called, the name of its study, and that study's registered digest."""

    label: str  # "1e+12" or "nano"
    study: str
    registered: str


@dataclass(frozen=True)
class LadderRecord:
    """The question over budgets, and everything decided before the first run; rungs from the smallest budget up."""

    name: str
    command: list[str]  # argv that reproduces it
    created: str  # ISO 8601, UTC
    kind: Literal["budgets", "sizes"]
    rule: str  # how the budgets were chosen, in words
    trunk: bool  # whether all rungs of an arm and seed branch off one trunk
    baseline: str
    arms: list[str]  # without the baseline
    rungs: list[RungRecord]
    registration: dict[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class Rung:
    """A rung with its records. `separate`: the same runs annealed on their own, where the ladder has a trunk."""

    label: str
    study: StudyRecord
    runs: Sequence[StudyRun]
    measurements: Sequence[Measurement] = ()
    separate: tuple[StudyRecord, Sequence[StudyRun]] | None = None


def register_ladder(
    *, baseline: str, arms: Sequence[str], rungs: Sequence[RungRecord], seeds: Sequence[int], trunk: bool
) -> dict[str, Any]:
    """The registration of a ladder: what is asked of all rungs together, and its own `sha256`."""
    body = {
        "hypotheses": [
            f"{arm} is worth a factor of the compute of {baseline} other than 1 at the largest budget" for arm in arms
        ]
        + [f"the factor of {arm} changes with the budget" for arm in arms],
        "primary_metric": "compute multiplier, from nats_per_byte on the whole validation split",
        "estimator": "the baseline's law E + A C^-alpha through 4 budgets or more, lines in log C between fewer; "
        "nothing beyond twice the ladder",
        "intervals": "95 % over whole seeds: jackknife below 20 seeds, bootstrap from there; of each arm by itself",
        "schedule": "one trunk an arm and seed, a decay a rung" if trunk else "each run annealed at its own budget",
        "seeds": list(seeds),
        "exclusions": "a seed that lacks a run at some rung is left out at every rung of that arm",
        "rungs": [f"{rung.label}: {rung.registered}" for rung in rungs],
    }
    return {**body, "sha256": digest_of(body)}


def write_ladder(folder: Path | str, ladder: LadderRecord) -> None:
    """Write ladder.json; an earlier one of the same name keeps its date and registration.

    Raises:
        StoreError: the disk refuses.
        UserError: the one that is there is damaged or edited.
    """
    path = Path(folder) / FILE
    body = to_json(ladder)
    if path.exists():
        before = read_sealed(path)
        body |= {"created": before["created"], "registration": before["registration"]}
    write_text(path, json.dumps(seal(body), indent=1, allow_nan=False) + "\n")


def is_ladder(folder: Path | str) -> bool:
    """Whether a folder is a ladder's."""
    return (Path(folder) / FILE).is_file()


def read_ladder(folder: Path | str) -> tuple[LadderRecord, list[Rung]]:
    """A ladder and its rungs.

    Raises:
        UserError: a file is missing, damaged, of another version, or of another ladder.
        StoreError: the disk refuses.
    """
    folder, path = Path(folder), Path(folder) / FILE
    try:
        body = read_sealed(path)
    except FileNotFoundError as error:
        raise UserError(f"{folder} is not a ladder: it has no {FILE}") from error
    try:
        ladder = LadderRecord(**{**body, "rungs": [RungRecord(**rung) for rung in body["rungs"]]})
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is not a ladder ({error}); give the folder of a ladder") from error
    return ladder, [_rung(folder, rung) for rung in ladder.rungs]


def _rung(folder: Path, rung: RungRecord) -> Rung:
    if rung.study in ("", "..") or Path(rung.study).name != rung.study:
        raise UserError(f"{folder / FILE} names the rung {rung.study!r}, which is no folder of its own; it was edited")
    place, apart = folder / RUNGS / rung.study, folder / SEPARATE / rung.study
    study, runs = read_study(place)
    if study.name != rung.study or study.registration.get("sha256") != rung.registered:
        raise UserError(
            f"{place} is not the study that {folder / FILE} registered as its rung {rung.label}; "
            "run the ladder's command again into another --out"
        )
    separate = read_study(apart) if (apart / "study.json").is_file() else None
    return Rung(rung.label, study, runs, read_measurements(place), separate)
