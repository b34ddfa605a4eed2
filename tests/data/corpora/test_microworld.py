from __future__ import annotations

import time

import pytest

from harness.data.corpora import microworld
from harness.data.corpus import load_corpus
from harness.data.documents import SPLITS, Corpus
from harness.data.microworld.grammar import NUM_DOCUMENTS, facet_names, split_drafts

SHA256 = "22361fdf66b2137701f3f9fd0e3e5ec459a9d203a6beca20d8ad3340006d5550"
"""Of the corpus on any Python and machine: floors in old records are of this text."""


@pytest.fixture(scope="module")
def loaded() -> Corpus:
    return load_corpus("microworld")


def test_it_is_megabytes_with_a_split_of_its_own_for_each_use(loaded: Corpus) -> None:
    sizes = {split: sum(len(d.text) for d in loaded.documents(split)) for split in SPLITS}
    assert 6e6 < sizes["train"] < 8e6
    assert 2e5 < sizes["validation"] < 4e5
    assert 2e5 < sizes["test"] < 4e5
    assert {split: len(loaded.documents(split)) for split in SPLITS} == NUM_DOCUMENTS


def test_documents_are_those_of_the_grammar_named_by_facet(loaded: Corpus) -> None:
    drafts = [(facet, draft.text) for facet, draft in split_drafts("validation")]
    assert [(d.name.split()[0], d.text) for d in loaded.validation] == drafts
    assert {facet for facet, _ in drafts} == set(facet_names())


def test_training_text_is_hardly_ever_held_out_text_where_there_are_many(loaded: Corpus) -> None:
    """Documents are independent, so short ones meet again; rows of pairs have too many forms to."""
    train = {d.text for d in loaded.train}
    pairs = [d.text for d in loaded.validation if d.name.startswith("recall")]
    assert not train & set(pairs)


def test_it_is_quick_and_always_the_same(loaded: Corpus) -> None:
    start = time.process_time()
    again = microworld.load()
    assert time.process_time() - start < 15  # measured: 2.2 s; wide for a slow machine
    assert again.sha256 == loaded.sha256 == SHA256
