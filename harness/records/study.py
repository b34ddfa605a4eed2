"""A study's folder: study.json, the question and what was decided before the first run, and runs.jsonl, one
StudyRun a line. From these two files alone the report can be rebuilt, without torch and without the run store.

Both are sealed (records.seal). Each line of runs.jsonl also says which of how many it is, so a file that
lost whole lines is refused too and never taken for a smaller study.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.records.atomic import StoreError, write_text
from harness.records.record import ArmRecord, RunRecord, StudyRecord, StudyRun, to_json
from harness.records.seal import seal, unseal
from variants.errors import UserError


def write_study(folder: Path | str, study: StudyRecord, runs: list[StudyRun]) -> None:
    """Write both files, each atomically; `runs` may be fewer than the study plans.

    Raises:
        StoreError: the disk refuses.
        UserError: the runs do not belong to the study.
    """
    _check(study, runs, str(folder))
    lines = [seal({**to_json(run), "line": i, "lines": len(runs)}) for i, run in enumerate(runs, start=1)]
    write_text(Path(folder) / "study.json", json.dumps(seal(to_json(study)), indent=1, allow_nan=False) + "\n")
    write_text(Path(folder) / "runs.jsonl", "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines))


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
        study = StudyRecord(**{**body, "arms": [ArmRecord(**arm) for arm in body["arms"]]})
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is not a study record ({error}); give the folder of a study") from error
    runs = _read_runs(folder / "runs.jsonl")
    _check(study, runs, str(folder))
    return study, runs


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(
            f"{path.parent} is not a study: it has no {path.name}; give the folder that holds study.json and runs.jsonl"
        ) from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error


def _read_runs(path: Path) -> list[StudyRun]:
    lines = [
        _run(unseal(line, f"line {i} of {path}"), f"line {i} of {path}")
        for i, line in enumerate(_read(path).splitlines(), start=1)
    ]
    for i, (_, line, total) in enumerate(lines, start=1):
        if (line, total) != (i, len(lines)):
            raise UserError(
                f"{path} has {len(lines)} lines, and number {i} says it is {line} of {total}; "
                "lines were lost or moved, run the study's command again to rewrite it"
            )
    return [run for run, _, _ in lines]


def _run(body: dict[str, Any], what: str) -> tuple[StudyRun, int, int]:
    try:
        record = RunRecord(**body["record"])
        return StudyRun(body["arm"], body["seed"], body["reused"], record), body["line"], body["lines"]
    except (KeyError, TypeError) as error:
        raise UserError(f"{what} is not a run of a study ({error})") from error


def _check(study: StudyRecord, runs: list[StudyRun], what: str) -> None:
    names = [arm.name for arm in study.arms]
    if study.baseline not in names or len(set(names)) < len(names):
        raise UserError(f"{what}: a study has arms of different names, the baseline among them, got {names}")
    seen: set[tuple[str, int]] = set()
    for run in runs:
        if run.arm not in names or run.seed not in study.seeds:
            raise UserError(f"{what}: a run of arm {run.arm!r} and seed {run.seed} is not in the study's plan")
        if (run.arm, run.seed) in seen:
            raise UserError(f"{what}: arm {run.arm!r} has two runs of seed {run.seed}, and a seed is run once")
        seen.add((run.arm, run.seed))
