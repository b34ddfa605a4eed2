"""Packed numbers are the lists they stand for, to read and to write, and take 8 bytes each."""

from __future__ import annotations

import copy
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.records.compact import FEWEST, LARGEST_INTEGER, Compactor, Numbers, Packed, Ragged, Rows
from harness.records.example import example_runs, example_study
from harness.records.example_scores import lm_eval_score, scored
from harness.records.record import StudyRun, to_json
from harness.records.seal import finite, seal
from harness.records.study import read_study, write_study

LONG = 3 * FEWEST

number = st.floats(allow_nan=False) | st.integers(-(2**60), 2**60) | st.none() | st.booleans()
alike = st.sampled_from([st.floats(allow_nan=False), st.integers(), st.floats(allow_nan=False) | st.none(), number])
columns = alike.flatmap(lambda kind: st.lists(kind, min_size=FEWEST, max_size=LONG))
tables = st.lists(st.lists(number, max_size=3), max_size=LONG) | st.lists(
    st.tuples(st.integers(), st.floats(allow_nan=False), st.none() | st.floats(allow_nan=False)).map(list),
    max_size=LONG,
)
leaves = number | st.text(max_size=3) | columns | tables | st.lists(st.text(max_size=2), max_size=LONG)
documents = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner)
)


def packed(value: Any) -> Any:
    return Compactor()(copy.deepcopy(value))


@settings(max_examples=150, deadline=None)
@given(documents)
@example([[]] * FEWEST)
@example([LARGEST_INTEGER, LARGEST_INTEGER + 1] * FEWEST)
@example([-0.0, 1e308, 5e-324] * FEWEST)
@example([[1, None], [2, 0.5]] * FEWEST)
def test_what_is_packed_is_written_as_it_was(value: Any) -> None:
    """Integers, None, minus zero and huge numbers included."""
    found = packed(value)
    assert found == value
    assert json.dumps(finite(found)) == json.dumps(finite(value))
    assert json.dumps(finite(copy.deepcopy(found))) == json.dumps(finite(value)), "dataclasses.asdict copies"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ([0.5, None] * FEWEST, Numbers),
        ([1, 2] * FEWEST, Numbers),
        ([[1, 0.5, None]] * FEWEST, Rows),
        ([[0.5], [0.5, 1.5]] * FEWEST, Ragged),
        ([1, 0.5] * FEWEST, list),
        ([True] * FEWEST, list),
        ([0.5] * (FEWEST - 1), list),
    ],
)
def test_what_it_is_packed_into(value: list[Any], kind: type) -> None:
    found = packed(value)
    assert type(found) is kind
    assert repr(found) == repr(value)
    assert len(found) == len(value)
    for index in (0, 1, -1, slice(1, 4), slice(None, None, -1)):
        assert repr(found[index]) == repr(value[index])
    with pytest.raises(IndexError):
        found[len(value)]


def test_numpy_reads_it_without_a_copy_and_none_as_nan() -> None:
    values, rows = packed([0.5, None] * FEWEST), packed([[1, 0.5]] * FEWEST)
    read = np.asarray(values, dtype=np.float64)
    np.testing.assert_array_equal(read, [0.5, np.nan] * FEWEST)
    np.testing.assert_array_equal(np.array(rows), [[1.0, 0.5]] * FEWEST)
    assert np.shares_memory(read, np.asarray(values))
    with pytest.raises(ValueError, match="read-only"):
        read[0] = 1.0
    np.array(values)[0] = 1.0
    assert values[0] == 0.5


def with_items(num_seeds: int, num_items: int) -> list[StudyRun]:
    """Runs with items of which no two are the same number."""
    runs = example_runs({arm: [1.65 + 0.01 * s for s in range(num_seeds)] for arm in ("gpt2", "norm=rms")})
    rng = np.random.default_rng(0)

    def score(run: StudyRun) -> list[Any]:
        made = lm_eval_score(run, 0.6, num_items=num_items)
        items = made.detail["tasks"]["cloze"]["items"]
        items["values"] = {name: rng.normal(size=num_items).tolist() for name in items["values"]}
        items["loglikelihoods"] = rng.normal(size=(num_items, 4)).tolist()
        return [made]

    return scored(runs, score)


def test_a_study_that_was_read_is_written_as_it_was(tmp_path: Path) -> None:
    study = example_study(seeds=range(2))
    write_study(tmp_path / "a", study, with_items(2, 40))
    write_study(tmp_path / "b", *read_study(tmp_path / "a"))
    for name in ("study.json", "runs.jsonl", "scores.jsonl"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_store_keeps_what_a_study_read(tmp_path: Path) -> None:
    write_study(tmp_path, example_study(seeds=range(1)), with_items(1, 40))
    (run, *_) = read_study(tmp_path)[1]
    assert isinstance(run.scores[0].detail["tasks"]["cloze"]["items"]["values"]["acc"], Packed)
    assert json.dumps(seal(to_json(run.scores[0])), allow_nan=False)


def test_items_of_many_runs_take_8_bytes_a_number_and_their_names_nothing(tmp_path: Path) -> None:
    """43 kB a run here, 245 as Python lists (measured): 10,000 such runs would not fit into 2 GB."""
    num_items, sizes = 600, []
    for num_seeds in (2, 6):
        write_study(tmp_path, example_study(seeds=range(num_seeds)), with_items(num_seeds, num_items))
        read_study(tmp_path)  # what is made once
        tracemalloc.start()
        kept = read_study(tmp_path)
        sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        del kept
    numbers = num_items * (2 + 4)
    assert sizes[1] - sizes[0] < 8 * (8 * numbers + 25_000)  # of 8 runs more, whose other content is small
