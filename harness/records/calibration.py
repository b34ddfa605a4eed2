"""What a calibration measured: the noise of the baseline at one scale, kept in the store for later studies.

STORE/calibrations/KEY.json, sealed; KEY is the digest of the scale: spec, recipe, steps, data. A study whose scale is
calibrated has a copy beside its runs, STUDY/calibration.json, so that its report can be rebuilt without the store.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.records.atomic import write_text
from harness.records.record import StudyRecord, to_json
from harness.records.schema import SCHEMA_VERSION
from harness.records.seal import read_sealed, seal
from harness.spec.digest import json_sha256
from variants.errors import UserError

FILE = "calibration.json"
"""Of the copy in a study's folder."""


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
    counts: dict[str, int] = field(default_factory=dict)  # init and data seeds crossed, seeds run `again`


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
    environment: dict[str, str] = field(default_factory=dict)  # of its runs; empty in calibrations of before
    schema_version: int = SCHEMA_VERSION


def scale_of(study: StudyRecord) -> dict[str, Any]:
    """What two runs must share for one's noise to be the other's: spec, recipe, steps and data of the baseline."""
    (baseline,) = (arm for arm in study.arms if arm.name == study.baseline)
    return {
        "spec": baseline.spec,
        "recipe": {**study.recipe, **baseline.recipe},
        "num_steps": baseline.num_steps,
        "data": {name: study.data.get(name) for name in ("sha256", "tokenizer", "vocab_size")},
    }


def scale_key(scale: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of a scale."""
    return json_sha256(scale)


def write_calibration(store: Path, record: CalibrationRecord) -> Path:
    """Keep a calibration, instead of an earlier one of its scale. Raises `StoreError` when the disk refuses."""
    path = _in_store(store, record.key)
    _write(path, record)
    return path


def read_calibration(store: Path, study: StudyRecord) -> CalibrationRecord | None:
    """The calibration of a study's scale, None where the store has none.

    Raises:
        UserError: there is one, and it is damaged or of another version.
        StoreError: the disk refuses to read it.
    """
    return _read(_in_store(store, scale_key(scale_of(study))))


def keep_calibration(folder: Path, record: CalibrationRecord) -> None:
    """Copy a calibration into a study's folder, or replace the copy there. Raises as `write_calibration` does."""
    _write(folder / FILE, record)


def kept_calibration(folder: Path, study: StudyRecord) -> CalibrationRecord | None:
    """The copy in a study's folder, None where there is none.

    Raises:
        UserError: it is damaged, of another version, or of another scale than the study's.
    """
    record = _read(folder / FILE)
    if record is not None and record.key != scale_key(scale_of(study)):
        raise UserError(f"{folder / FILE} is of another scale than the study; delete it")
    return record


def _in_store(store: Path, key: str) -> Path:
    return store / "calibrations" / f"{key}.json"


def _write(path: Path, record: CalibrationRecord) -> None:
    write_text(path, json.dumps(seal(to_json(record)), indent=1, allow_nan=False) + "\n")


def _read(path: Path) -> CalibrationRecord | None:
    if not path.exists():
        return None
    body = read_sealed(path)
    try:
        return CalibrationRecord(**{**body, "noise": [Noise(**noise) for noise in body["noise"]]})
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is not a calibration ({error}); delete it and calibrate again") from error
