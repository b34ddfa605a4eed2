"""How long a training step of each arm takes, measured side by side before a plan by wall clock is made.

STORE/timings/KEY.json, sealed, so that the same command plans the same steps again; a study keeps a copy of what it was
planned with.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.records.atomic import write_text
from harness.records.record import to_json
from harness.records.schema import SCHEMA_VERSION
from harness.records.seal import read_sealed, seal
from harness.spec.digest import json_sha256
from variants.errors import UserError


@dataclass(frozen=True)
class ArmTiming:
    """Seconds of a step, median over blocks, and their ratio to the baseline's: median over passes, 95 % interval."""

    arm: str
    seconds: float
    relative: float
    relative_ci95: list[float]
    blocks: list[float]  # seconds of a step in each block; block i of every arm is of the same pass


@dataclass(frozen=True)
class TimingRecord:
    """The baseline first. `identity` has what decides it: specs, step, device, torch, code."""

    identity: dict[str, Any]
    device: str
    arms: list[ArmTiming]
    created: str
    schema_version: int = SCHEMA_VERSION

    @property
    def relative(self) -> dict[str, float]:
        """Seconds of a step over the baseline's, by arm."""
        return {arm.arm: arm.relative for arm in self.arms}

    def find(self, arm: str) -> ArmTiming | None:
        return next((timing for timing in self.arms if timing.arm == arm), None)


def timing_key(identity: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of an identity."""
    return json_sha256(identity)


def timing_path(store: Path, identity: dict[str, Any]) -> Path:
    """Where the timing of that identity is kept; deleting the file times the arms anew."""
    return store / "timings" / f"{timing_key(identity)}.json"


def write_timing(store: Path, record: TimingRecord) -> None:
    """Keep a timing. Raises `StoreError` when the disk refuses."""
    text = json.dumps(seal(to_json(record)), indent=1, allow_nan=False) + "\n"
    write_text(timing_path(store, record.identity), text)


def read_timing(store: Path, identity: dict[str, Any]) -> TimingRecord | None:
    """The timing of that identity, None where there is none.

    Raises:
        UserError: there is one, and it is damaged or of another version.
        StoreError: the disk refuses to read it.
    """
    path = timing_path(store, identity)
    if not path.exists():
        return None
    body = read_sealed(path)
    try:
        return timing_from_json(body)
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is not a timing ({error}); delete it and the arms are timed again") from error


def timing_from_json(body: dict[str, Any]) -> TimingRecord:
    """The record of plain JSON data, as `to_json` made it."""
    return TimingRecord(**{**body, "arms": [ArmTiming(**arm) for arm in body["arms"]]})
