from __future__ import annotations

import hashlib

import pytest

from harness.data.documents import Document, make_corpus
from variants.errors import UserError

A, B, C = Document("a", "A"), Document("b", "B"), Document("c", "C")


def test_a_document_is_known_by_its_utf8_text() -> None:
    assert Document("道", "x").sha256 == hashlib.sha256("道".encode()).hexdigest()


def test_the_hash_covers_texts_order_and_splits_but_no_names() -> None:
    base = make_corpus("n", [A, B], [C]).sha256
    assert make_corpus("other", [Document("a", "z"), B], [C]).sha256 == base
    others = [
        make_corpus("n", [B, A], [C]),
        make_corpus("n", [A], [B, C]),
        make_corpus("n", [A, B], [C], [C]),
        make_corpus("n", [Document("ab", "A")], [C]),
        make_corpus("n", [A], [C], [B]),
    ]
    assert len({base, *(corpus.sha256 for corpus in others)}) == 1 + len(others)


def test_documents_without_text_are_left_out() -> None:
    corpus = make_corpus("n", [A, Document("", "empty")], [C])
    assert corpus.documents("train") == (A,)
    assert corpus.sha256 == make_corpus("n", [A], [C]).sha256


def test_no_text_is_refused() -> None:
    with pytest.raises(UserError, match="a corpus needs some text, and 'n' holds none"):
        make_corpus("n", [Document("", "")], [])


@pytest.mark.parametrize(("train", "validation", "split"), [([], [A], "train"), ([A], [], "validation")])
def test_a_split_without_text_is_refused(train: list[Document], validation: list[Document], split: str) -> None:
    with pytest.raises(UserError, match=f"text in its {split} split, and 'n' has none"):
        make_corpus("n", train, validation)
