"""Records of every kind, cut short, changed and hollowed out: each is refused in a sentence, and none is believed."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.records.calibration import (
    CalibrationRecord,
    Noise,
    read_calibration,
    scale_key,
    scale_of,
    write_calibration,
)
from harness.records.evidence import (
    EvidenceRecord,
    LedgerRecord,
    read_evidence,
    read_ledger,
    write_evidence,
    write_ledger,
)
from harness.records.example import example_runs, example_study
from harness.records.example_ladder import example_ladder, example_ladder_record
from harness.records.example_measurements import example_throughput
from harness.records.example_scores import position_score, scored
from harness.records.ladder import RUNGS, read_ladder, write_ladder
from harness.records.seal import seal, unseal
from harness.records.store import RunStore, StoreError
from harness.records.study import read_measurements, read_study, write_measurement, write_study
from harness.records.sweep import DimensionRecord, ObjectiveRecord, SweepRecord, TrialRecord, read_sweep, write_sweep
from harness.records.timing import ArmTiming, TimingRecord, read_timing, write_timing
from harness.records.tuning import TuningRecord, TuningTrial, read_tuning, write_tuning
from variants.errors import UserError

STUDY = example_study(("gpt2", "norm=rms"))
RUNS = scored(example_runs({"gpt2": [1.65, 1.66], "norm=rms": [1.64, 1.65]}), lambda run: [position_score(run)])
RUN = dataclasses.replace(RUNS[0].record, key="ab" * 32)
SCORE = dataclasses.replace(RUNS[0].scores[0], key="cd" * 32, run=RUN.key)


def study(folder: Path) -> None:
    write_study(folder, STUDY, RUNS)
    write_measurement(folder, example_throughput({"gpt2": 1.0, "norm=rms": 1.1}))


def ladder(folder: Path) -> None:
    rungs = example_ladder({"norm=rms": 1.2})
    write_ladder(folder, example_ladder_record(rungs))
    for rung in rungs:
        write_study(folder / RUNGS / rung.study.name, rung.study, list(rung.runs))


def store(folder: Path) -> None:
    RunStore(folder).put(RUN)
    RunStore(folder).put_score(SCORE)


TRIAL = TrialRecord(0, "complete", {"lr": 0.01}, [2.0], "", "gpt2", "ab" * 32, 1.0)
SWEEP = SweepRecord(
    *("sweep_x", [], "2026-11-02T10:00:00Z", "gpt2", "flops", 1e9, {}, {}, "tpe", "none", 0),
    *([ObjectiveRecord("bits_per_byte", "minimize")], [DimensionRecord("lr", None, "float", 0.1, 0.2)], [TRIAL]),
    *(0, "", ""),
)
TUNING = TuningRecord(
    *(0.006, 0.25, [10_000], ["gpt2"], "", "sweep_x"),
    *([TuningTrial("gpt2", 0.006, 10_000, "complete", 1.7, "", "ab" * 32)], "2026-11-02T10:00:00Z"),
)
NOISE = Noise("nats_per_byte", "nats per byte", [1.6, 1.7], 0.1, 0.2, [["initial", 0.01, 0.0, 0.1]], None, None)
CALIBRATION = CalibrationRecord(scale_key(scale_of(STUDY)), scale_of(STUDY), [], "2026-11-02", [NOISE], {}, {}, 25.0)
TIMING = TimingRecord({"device": "cpu"}, "cpu", [ArmTiming("gpt2", 0.01, 1.0, [1.0, 1.0], [0.01])], "2026-11-02")
LEDGER = LedgerRecord([], "2026-11-02", "nano", "2x48", 1e9, 10, 16, {}, {}, {}, [["C1", "loss"]])
EVIDENCE = EvidenceRecord({"id": "C1"}, runs=[{"arm": "gpt2", "seed": 0}])
RECORD = f"runs/ab/{RUN.key}"


@dataclass(frozen=True)
class Kind:
    """A kind of record: its file, what writes the folder, what reads it."""

    file: str
    write: Callable[[Path], object]
    read: Callable[[Path], object]


KINDS = [
    Kind("study.json", study, read_study),
    Kind("runs.jsonl", study, read_study),
    Kind("scores.jsonl", study, read_study),
    Kind("measurements/throughput.json", study, read_measurements),
    Kind("ladder.json", ladder, read_ladder),
    Kind("sweep.json", lambda folder: write_sweep(folder, SWEEP), read_sweep),
    Kind("tuning.json", lambda folder: write_tuning(folder, TUNING, [0]), lambda folder: read_tuning(folder, [0])),
    Kind("ledger.json", lambda folder: write_ledger(folder, LEDGER), read_ledger),
    Kind("evidence/C1.json", lambda folder: write_evidence(folder, EVIDENCE), read_evidence),
    Kind(f"{RECORD}/record.json", store, lambda folder: RunStore(folder).get(RUN.key)),
    Kind(f"{RECORD}/scores/{SCORE.key}.json", store, lambda folder: RunStore(folder).get_score(SCORE.run, SCORE.key)),
    Kind(
        f"calibrations/{CALIBRATION.key}.json",
        lambda folder: write_calibration(folder, CALIBRATION),
        lambda folder: read_calibration(folder, STUDY),
    ),
    Kind(
        "timings/*.json",
        lambda folder: write_timing(folder, TIMING),
        lambda folder: read_timing(folder, TIMING.identity),
    ),
]
BY_FILE = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.file.rpartition("/")[2])


def refused(kind: Kind, folder: Path) -> None:
    with pytest.raises((UserError, StoreError)) as caught:
        kind.read(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value), "it says which file"


def says_the_same(one: bytes, other: bytes) -> bool:
    """Whether a bit changed nothing but how a number is written, 1E9 for 1e9."""
    try:
        return [json.loads(line) for line in one.splitlines()] == [json.loads(line) for line in other.splitlines()]
    except ValueError:
        return False


@BY_FILE
def test_a_damaged_record_is_refused(kind: Kind, tmp_path: Path) -> None:
    kind.write(tmp_path)
    kind.read(tmp_path)
    (path,) = tmp_path.glob(kind.file)
    whole, rng = path.read_bytes(), random.Random(0)
    cut = [whole[: rng.randrange(1, len(whole) - 1)] for _ in range(10)]
    flipped = []
    for place in rng.sample(range(len(whole) - 1), 20):
        flipped.append(bytearray(whole))
        flipped[-1][place] ^= 1 << rng.randrange(7)
    others = [b"null", b"[]", b"{}", b"7", b"\xff\xfe", b"[" * 100_000, whole + whole, whole + b"x"]
    changed = [damaged for damaged in flipped if not says_the_same(bytes(damaged), whole)]
    for damaged in (*cut, *changed, *others):
        path.write_bytes(damaged)
        refused(kind, tmp_path)


@BY_FILE
def test_a_record_with_other_content_and_a_seal_is_refused_or_read(kind: Kind, tmp_path: Path) -> None:
    """A field less, a field more: whoever seals a record anew may be believed, and never gets a traceback."""
    kind.write(tmp_path)
    (path,) = tmp_path.glob(kind.file)
    lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    body = unseal(lines[0], "it")
    changed: list[dict[str, Any]] = [{**body, "more": 1}]
    changed += [{k: v for k, v in body.items() if k != name} for name in body]
    for other in changed:
        path.write_text("\n".join([json.dumps(seal(other)), *lines[1:]]) + "\n")
        with contextlib.suppress(UserError):
            kind.read(tmp_path)


@BY_FILE
def test_a_folder_in_the_place_of_a_record_is_refused(kind: Kind, tmp_path: Path) -> None:
    kind.write(tmp_path)
    (path,) = tmp_path.glob(kind.file)
    path.unlink()
    path.mkdir()
    refused(kind, tmp_path)
