"""A study's folder. From these files alone the report can be rebuilt, without torch and without the run store:

    study.json               the question and what was decided before the first run
    runs.jsonl               one run a line
    scores.jsonl             one score of a run a line
    measurements/NAME.json   what was measured of all arms side by side
    calibration.json         the noise of the baseline, where it was measured (records.calibration)

All are sealed (records.seal). Each line also says which of how many it is, so a file that lost whole lines is refused
too and never taken for a smaller study.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.records.atomic import StoreError, write_text
from harness.records.compact import Compactor
from harness.records.record import ArmRecord, RegimeRecord, RunRecord, StudyRecord, StudyRun, to_json
from harness.records.score import Measurement, ScoreRecord, score_from_json
from harness.records.seal import seal, unseal
from harness.records.timing import TimingRecord, timing_from_json
from variants.errors import UserError


def write_study(folder: Path | str, study: StudyRecord, runs: list[StudyRun]) -> None:
    """Write the study, its runs and their scores, each file atomically; `runs` may be fewer than the study plans.

    Raises:
        StoreError: the disk refuses.
        UserError: the runs do not belong to the study.
    """
    _check(study, runs, str(folder))
    write_text(Path(folder) / "study.json", json.dumps(seal(to_json(study)), indent=1, allow_nan=False) + "\n")
    bare = [to_json(dataclasses.replace(run, scores=())) for run in runs]
    for run in bare:
        del run["scores"]
    write_text(Path(folder) / "runs.jsonl", _lines(bare))
    scores = [{"arm": r.arm, "seed": r.seed, "score": to_json(score)} for r in runs for score in r.scores]
    write_text(Path(folder) / "scores.jsonl", _lines(scores))


def _lines(bodies: list[dict[str, Any]]) -> str:
    sealed = (seal({**body, "line": i, "lines": len(bodies)}) for i, body in enumerate(bodies, start=1))
    return "".join(json.dumps(line, allow_nan=False) + "\n" for line in sealed)


def write_measurement(folder: Path | str, measurement: Measurement) -> None:
    """Write a measurement of the study in `folder`, instead of an earlier one of its name.

    Raises:
        StoreError: the disk refuses.
    """
    text = json.dumps(seal(to_json(measurement)), allow_nan=False) + "\n"
    write_text(Path(folder) / "measurements" / f"{measurement.name}.json", text)


def read_measurements(folder: Path | str) -> list[Measurement]:
    """The measurements of the study in `folder`, by name.

    Raises:
        UserError: one is cut short, damaged or of another version.
        StoreError: the disk refuses.
    """
    measurements = []
    for path in sorted((Path(folder) / "measurements").glob("*.json")):
        try:
            measurements.append(Measurement(**unseal(_read(path), str(path))))
        except TypeError as error:
            raise UserError(f"{path} is not a measurement ({error}); delete it") from error
    return measurements


def read_study(folder: Path | str) -> tuple[StudyRecord, list[StudyRun]]:
    """What `write_study` wrote.

    Raises:
        UserError: the folder is not a study's, or a file in it is cut short, damaged or of another version.
        StoreError: the disk refuses.
    """
    folder = Path(folder)
    path = folder / "study.json"
    body = unseal(_read(path), str(path))
    try:
        regimes = [RegimeRecord(**regime) for regime in body.get("regimes", ())]  # studies of before have none
        study = StudyRecord(**{**body, "arms": [ArmRecord(**arm) for arm in body["arms"]], "regimes": regimes})
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is not a study record ({error}); give the folder of a study") from error
    runs = _read_runs(folder)
    _check(study, runs, str(folder))
    return study, runs


def as_registered(folder: Path | str, study: StudyRecord) -> StudyRecord:
    """`study` with the date and the registration that its folder already has, if it was begun before.

    Raises:
        UserError: there is a study.json, and it is damaged or edited.
    """
    path = Path(folder) / "study.json"
    if not path.exists():
        return study
    before = unseal(_read(path), str(path))
    return dataclasses.replace(study, created=before["created"], registration=before.get("registration", {}))


def begun_with(folder: Path | str) -> TimingRecord | None:
    """The timing that the study in `folder` was planned with; None where it was not begun, or nothing was timed.

    Raises:
        UserError: there is a study.json, and it is damaged or edited.
    """
    path = Path(folder) / "study.json"
    timing = unseal(_read(path), str(path)).get("timing") if path.exists() else None
    return timing_from_json(timing) if timing else None


def _read(path: Path) -> bytes:
    with _reading(path):
        return path.read_bytes()


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """What the disk says, as errors of a study."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(
            f"{path.parent} is not a study: it has no {path.name}; give the folder that holds study.json and runs.jsonl"
        ) from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error


def _read_runs(folder: Path) -> list[StudyRun]:
    scores: dict[tuple[str, int], list[ScoreRecord]] = {}
    path = folder / "scores.jsonl"
    for i, body in enumerate(_read_lines(path) if path.exists() else [], start=1):  # studies of before have none
        with _meaning(f"line {i} of {path}", "a score of a study"):
            scores.setdefault((body["arm"], body["seed"]), []).append(score_from_json(body["score"]))
    path, runs = folder / "runs.jsonl", []
    for i, body in enumerate(_read_lines(path), start=1):
        with _meaning(f"line {i} of {path}", "a run of a study"):
            arm, seed = body["arm"], body["seed"]
            runs.append(
                StudyRun(arm, seed, body["reused"], RunRecord(**body["record"]), tuple(scores.pop((arm, seed), ())))
            )
    if scores:
        raise UserError(f"{folder / 'scores.jsonl'} has scores of runs that runs.jsonl does not have: {list(scores)}")
    return runs


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """The sealed lines of a file, packed (records.compact): never more than one of them as text or as Python lists."""
    compact = Compactor()
    with _reading(path), path.open("rb") as file, collector_off():
        bodies = [compact(unseal(line, f"line {i} of {path}")) for i, line in enumerate(file, start=1)]
    for i, body in enumerate(bodies, start=1):
        line, total = body.get("line"), body.get("lines")
        if (line, total) != (i, len(bodies)):
            raise UserError(
                f"{path} has {len(bodies)} lines, and number {i} says it is {line} of {total}; "
                "lines were lost or moved, run the study's command again to rewrite it"
            )
    return bodies


@contextlib.contextmanager
def collector_off() -> Iterator[None]:
    """No search for cycles, of which JSON has none: a tenth of the time, since it visits what was read before."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextlib.contextmanager
def _meaning(where: str, what: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{where} is not {what} ({error})") from error


def _check(study: StudyRecord, runs: list[StudyRun], what: str) -> None:
    names = [arm.name for arm in study.arms]
    if study.baseline not in names or len(set(names)) < len(names):
        raise UserError(f"{what}: a study has arms of different names, the baseline among them, got {names}")
    planned, seeds = set(names), set(study.seeds)
    seen: set[tuple[str, int]] = set()
    for run in runs:
        if run.arm not in planned or run.seed not in seeds:
            raise UserError(f"{what}: a run of arm {run.arm!r} and seed {run.seed} is not in the study's plan")
        if (run.arm, run.seed) in seen:
            raise UserError(f"{what}: arm {run.arm!r} has two runs of seed {run.seed}, and a seed is run once")
        seen.add((run.arm, run.seed))
