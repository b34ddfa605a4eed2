from __future__ import annotations

import time

import pytest

from harness.data.corpora import stdlib
from harness.data.documents import SPLITS, Corpus


@pytest.fixture(scope="module")
def loaded() -> Corpus:
    return stdlib.load()


def test_it_is_megabytes_split_ninety_five_five(loaded: Corpus) -> None:
    counts = [len(loaded.documents(split)) for split in SPLITS]
    assert [count / sum(counts) for count in counts] == pytest.approx([0.9, 0.05, 0.05], abs=0.03)
    assert 6e6 < sum(len(d.text.encode()) for split in SPLITS for d in loaded.documents(split)) < 2e7


def test_no_document_is_there_twice(loaded: Corpus) -> None:
    texts = [document.text for split in SPLITS for document in loaded.documents(split)]
    assert len(set(texts)) == len(texts)


def test_it_has_source_and_topics_but_no_tests(loaded: Corpus) -> None:
    names = {document.name for split in SPLITS for document in loaded.documents(split)}
    assert {"json/decoder.py", "dataclasses.py", "topic assert", "topic lambda"} <= names
    assert "pydoc_data/topics.py" not in names
    assert not [name for name in names if set(name.split("/")) & stdlib.LEFT_OUT_FOLDERS or "_sysconfigdata" in name]


def test_it_is_quick_and_always_the_same(loaded: Corpus) -> None:
    start = time.perf_counter()
    assert stdlib.load().sha256 == loaded.sha256
    assert time.perf_counter() - start < 10  # measured: 0.2 s; wide for a busy machine
