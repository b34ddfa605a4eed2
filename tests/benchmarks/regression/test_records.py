"""Reading records and building a report of 10,000 of them, against a copy of their bytes."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.analyse.comparison import compare as compare_arms
from harness.records.example import example_runs, example_study
from harness.records.record import StudyRecord, StudyRun, to_json
from harness.records.seal import seal
from harness.records.store import RunStore
from harness.records.study import read_study, write_study
from harness.reporting.section import Material
from harness.reporting.write import write_report
from tests.benchmarks.regression.conftest import Compare
from tests.benchmarks.regression.reference import copy

ARMS, SEEDS = 10, 1000


@pytest.fixture(scope="module")
def many() -> tuple[StudyRecord, Sequence[StudyRun]]:
    """A study of 10,000 runs that finished."""
    names, rng = ("gpt2", *(f"norm=v{i}" for i in range(1, ARMS))), random.Random(0)
    return example_study(names, range(SEEDS)), example_runs(
        {name: [1.65 + rng.gauss(0, 0.005) for _ in range(SEEDS)] for name in names}
    )


@pytest.fixture(scope="module")
def folder(many: tuple[StudyRecord, list[StudyRun]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    write_study(folder, *many)
    return folder


def test_study(compare: Compare, folder: Path) -> None:
    compare(lambda: read_study(folder), copy((folder / "runs.jsonl").stat().st_size))


def test_store(compare: Compare, many: tuple[StudyRecord, list[StudyRun]], tmp_path: Path) -> None:
    """100 runs by their keys; each opens one file, however many there are."""
    store, keys, nbytes = RunStore(tmp_path), [], 0
    for run in many[1][:100]:
        path = store.folder(run.record.key) / "record.json"
        path.parent.mkdir(parents=True)
        nbytes += path.write_text(json.dumps(seal(to_json(run.record))))
        keys.append(run.record.key)
    compare(lambda: [store.get(key) for key in keys], copy(nbytes))


def test_comparisons(compare: Compare, many: tuple[StudyRecord, list[StudyRun]], folder: Path) -> None:
    compare(lambda: compare_arms(*many), copy((folder / "runs.jsonl").stat().st_size))


def test_report(compare: Compare, many: tuple[StudyRecord, list[StudyRun]], folder: Path, tmp_path: Path) -> None:
    study, runs = many
    material = Material(study, runs, compare_arms(study, runs))
    compare(lambda: write_report(tmp_path, material), copy((folder / "runs.jsonl").stat().st_size))
