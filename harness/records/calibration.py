"""What a calibration measured: the noise of the baseline at one scale, kept in the store for later studies.

STORE/calibrations/KEY.json, sealed; KEY is the digest of the scale: spec, recipe, steps, data.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.records.atomic import write_text
from harness.records.record import to_json
from harness.records.schema import SCHEMA_VERSION
from harness.records.seal import read_sealed, seal
from variants.errors import UserError


@dataclass(frozen=True)
class Noise:
    """The spread of one score over runs of the baseline; in the score's unit.

    `components` hold [source, variance, low, high], none of a source whose runs lack the score. `correlation` is that
    of paired arms, `gain` the share of variance that pairing takes away (analyse/pairing.py) and `sd_difference` the
    spread of their differences, None where the planted arm did not finish. `reason` is why anything is lacking.
    """

    score: str
    unit: str
    values: list[float]  # one a seed
    sd: float
    cautious_sd: float
    components: list[list[Any]]
    correlation: float | None
    sd_difference: float | None
    correlation_ci95: list[float] | None = None
    gain: float | None = None
    gain_ci95: list[float] | None = None
    reason: str = ""


@dataclass(frozen=True)
class CalibrationRecord:
    """`false_positives` (of the paired t-test), `pipeline` (of the verdicts) and `planted` say whether the procedure is
    silent where it should be, and speaks where not. `pipeline` is empty in calibrations from before it was measured.
    """

    key: str
    scale: dict[str, Any]
    command: list[str]
    created: str
    noise: list[Noise]  # the primary score first, then every score of the runs
    false_positives: dict[str, Any]
    planted: dict[str, Any]
    seconds_per_run: float
    pipeline: dict[str, Any] = field(default_factory=dict)  # as analyse/aa_studies.py: PipelineErrors
    absent: dict[str, str] = field(default_factory=dict)  # by title or name, scores that runs lack, and why
    schema_version: int = SCHEMA_VERSION


def scale_key(scale: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of a scale."""
    return hashlib.sha256(json.dumps(scale, sort_keys=True).encode()).hexdigest()


def write_calibration(store: Path, record: CalibrationRecord) -> Path:
    """Keep a calibration, instead of an earlier one of its scale. Raises `StoreError` when the disk refuses."""
    path = store / "calibrations" / f"{record.key}.json"
    write_text(path, json.dumps(seal(to_json(record)), indent=1, allow_nan=False) + "\n")
    return path


def read_calibration(store: Path, key: str) -> CalibrationRecord | None:
    """The calibration of a scale, None where there is none.

    Raises:
        UserError: there is one, and it is damaged or of another version.
        StoreError: the disk refuses to read it.
    """
    path = store / "calibrations" / f"{key}.json"
    if not path.exists():
        return None
    body = read_sealed(path)
    try:
        return CalibrationRecord(**{**body, "noise": [Noise(**noise) for noise in body["noise"]]})
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is not a calibration ({error}); delete it and calibrate again") from error
