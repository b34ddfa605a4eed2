"""A study reads each of its records once, and never takes a failed run for the last word."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness.records import store as store_module
from harness.records.compact import Packed
from harness.records.record import to_json
from harness.records.remembered import RememberedStore
from harness.records.score import ScoreRecord
from harness.records.seal import seal
from harness.records.store import RunStore
from tests.records.test_store import record


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that stores were asked to read."""
    found: list[Path] = []
    read = store_module._read

    def counted(path: Path) -> bytes | None:
        found.append(path)
        return read(path)

    monkeypatch.setattr(store_module, "_read", counted)
    return found


def test_a_finished_run_is_read_once(tmp_path: Path, reads: list[Path]) -> None:
    one = record()
    RunStore(tmp_path).put(one)
    reads.clear()
    store = RememberedStore(tmp_path)
    assert [store.get(one.key) for _ in range(3)] == [one] * 3
    assert len(reads) == 1


def test_a_failed_or_missing_run_is_read_anew(tmp_path: Path) -> None:
    store, one = RememberedStore(tmp_path), record()
    assert store.get(one.key) is None
    RunStore(tmp_path).put(dataclasses.replace(one, status="failed", reason="for a test"))
    assert getattr(store.get(one.key), "status", "") == "failed"
    RunStore(tmp_path).put(one)
    assert store.get(one.key) == one


def test_what_is_kept_is_packed_and_written_as_it_was(tmp_path: Path) -> None:
    one = dataclasses.replace(record(), curve=[[step, 1e9 * step, 1 / step] for step in range(1, 200)])
    detail = {"by_position": [0.5, None, 0.25] * 100}
    score = ScoreRecord("ab" * 32, {}, one.key, "position", "finished", "", detail=detail)
    RunStore(tmp_path).put(one)
    RunStore(tmp_path).put_score(score)
    store = RememberedStore(tmp_path)
    found, found_score = store.get(one.key), store.get_score(one.key, score.key)
    assert found is not None
    assert found_score is not None
    assert (found, found_score) == (one, score)
    assert isinstance(found.curve, Packed)
    assert isinstance(found_score.detail["by_position"], Packed)
    assert seal(to_json(found)) == seal(to_json(one))
    assert seal(to_json(found_score)) == seal(to_json(score))
