"""`hf:` on local folders, which the datasets library loads by the same call as the hub's. Nothing here connects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import datasets.config
import datasets.exceptions
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.data.documents import SPLITS
from harness.data.hub import load_hub
from variants.errors import UserError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rows").mkdir()
    return tmp_path / "rows"


def write_jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def rows(begin: int, end: int) -> list[dict[str, Any]]:
    return [{"text": f"第 {i} row\r\n", "label": i} for i in range(begin, end)]


def texts(begin: int, end: int) -> list[str]:
    return [row["text"] for row in rows(begin, end)]


def test_the_splits_of_a_jsonl_folder_are_used(folder: Path) -> None:
    for split, (begin, end) in {"train": (0, 30), "validation": (30, 35), "test": (35, 40)}.items():
        write_jsonl(folder / f"{split}.jsonl", rows(begin, end))
    corpus = load_hub(f"hf:{folder}")
    assert [document.text for document in corpus.train] == texts(0, 30)
    assert [document.text for document in corpus.validation] == texts(30, 35)
    assert [document.text for document in corpus.test] == texts(35, 40)


def test_missing_splits_are_cut_from_train(folder: Path) -> None:
    pq.write_table(pa.table({"content": texts(0, 100), "n": list(range(100))}), folder / "all.parquet")
    corpus = load_hub(f"hf:{folder}")
    found = [document.text for split in SPLITS for document in corpus.documents(split)]
    assert sorted(found) == sorted(texts(0, 100))
    assert len(corpus.train) > 80


def test_only_the_missing_split_is_cut(folder: Path) -> None:
    write_jsonl(folder / "train.jsonl", rows(0, 100))
    write_jsonl(folder / "test.jsonl", rows(100, 110))
    corpus = load_hub(f"hf:{folder}")
    assert [document.text for document in corpus.test] == texts(100, 110)
    assert sorted(d.text for d in (*corpus.train, *corpus.validation)) == sorted(texts(0, 100))
    assert corpus.validation


def test_progress_bars_are_as_before(folder: Path) -> None:
    write_jsonl(folder / "train.jsonl", rows(0, 100))
    before = datasets.are_progress_bars_disabled()
    load_hub(f"hf:{folder}")
    assert datasets.are_progress_bars_disabled() == before


def test_rows_without_text_are_left_out(folder: Path) -> None:
    write_jsonl(folder / "train.jsonl", [*rows(0, 50), {"text": None, "label": 1}, {"text": "", "label": 2}])
    corpus = load_hub(f"hf:{folder}")
    assert sum(len(corpus.documents(split)) for split in SPLITS) == 50


def test_unclear_columns_are_named(folder: Path) -> None:
    write_jsonl(folder / "train.jsonl", [{"question": "q", "answer": "a", "n": 1}])
    with pytest.raises(UserError, match=r"question \(string\), answer \(string\), n \(int64\); rename one to 'text'"):
        load_hub(f"hf:{folder}")


def stand_in(monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[tuple[str, str | None]]:
    """`datasets.load_dataset` replaced by one that returns or raises `answer`; what it was asked."""
    asked = []

    def load_dataset(path: str, config: str | None) -> Any:
        asked.append((path, config))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def test_owner_name_and_config_are_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    data = {split: datasets.Dataset.from_dict({"text": [f"{split}\n"]}) for split in ("train", "valid", "test")}
    asked = stand_in(monkeypatch, data)
    assert load_hub("hf:owner/name:small").validation[0].text == "valid\n"
    load_hub("hf:owner/name")
    assert asked == [("owner/name", "small"), ("owner/name", None)]


def test_a_data_set_without_train_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = {split: datasets.Dataset.from_dict({"text": ["x"]}) for split in ("test", "extra")}
    stand_in(monkeypatch, data)
    with pytest.raises(UserError, match="needs a train split, and 'hf:owner/name' has extra, test"):
        load_hub("hf:owner/name")


def test_a_single_split_is_train(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, {"latest": datasets.Dataset.from_dict({"text": texts(0, 100)})})
    assert len(load_hub("hf:owner/name").train) > 80


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ConnectionError("Couldn't reach it\nmore"), r"cannot be reached \(Couldn't reach it\); connect, or use"),
        (ValueError("BuilderConfig 'x' not found"), r"could not load 'hf:owner/name' \(ValueError: BuilderConfig"),
        (datasets.exceptions.DatasetNotFoundError("gone"), r"\(DatasetNotFoundError: gone\); check it is"),
        (RuntimeError("Dataset scripts are no longer supported"), r"RuntimeError: Dataset scripts"),
    ],
)
def test_a_failed_download_is_one_sentence(monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str) -> None:
    stand_in(monkeypatch, error)
    with pytest.raises(UserError, match=sentence) as caught:
        load_hub("hf:owner/name")
    assert "\n" not in str(caught.value)


def test_a_folder_without_data_is_one_sentence(folder: Path) -> None:
    with pytest.raises(UserError, match=r"could not load .* any data files"):
        load_hub(f"hf:{folder}")


@pytest.mark.parametrize(
    ("name", "sentence"), [("hf:", "'hf:' names none"), ("hf:./no/such", "there is no './no/such'")]
)
def test_a_name_that_names_nothing_is_refused(name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        load_hub(name)
