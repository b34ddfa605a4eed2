from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.documents import SPLITS, Document
from harness.data.split import FEWEST_TO_HASH, split_by_hash, split_by_position, split_documents
from variants.errors import UserError


def numbered(n: int) -> list[Document]:
    return [Document(f"document {i}\n", str(i)) for i in range(n)]


def test_a_document_goes_where_its_hash_says() -> None:
    splits = split_by_hash(numbered(2000))
    for split, (low, high) in {"train": (0, 0.9), "validation": (0.9, 0.95), "test": (0.95, 1)}.items():
        for document in splits[split]:
            share = int(hashlib.sha256(document.text.encode()).hexdigest(), 16) / 2**256
            assert low <= share < high
    assert [len(splits[split]) / 2000 for split in SPLITS] == pytest.approx([0.9, 0.05, 0.05], abs=0.02)


def test_more_documents_move_no_other() -> None:
    few, many = split_by_hash(numbered(500)), split_by_hash(numbered(600))
    assert all(set(few[split]) <= set(many[split]) for split in SPLITS)


@given(st.lists(st.text(min_size=1), min_size=FEWEST_TO_HASH, max_size=60, unique=True))
def test_by_hash_no_document_is_lost_doubled_or_in_two_splits(texts: list[str]) -> None:
    splits = split_documents([Document(text, "") for text in texts], "n")
    assert sorted(document.text for split in SPLITS for document in splits[split]) == sorted(texts)
    assert all(splits.values())


def test_equal_documents_stay_together() -> None:
    splits = split_by_hash(numbered(25) * 3)
    held = [{document.text for document in splits[split]} for split in SPLITS]
    assert not held[0] & held[1]
    assert not held[0] & held[2]
    assert not held[1] & held[2]


def test_what_is_not_held_out_stays_in_train() -> None:
    both, one = split_by_hash(numbered(500)), split_by_hash(numbered(500), ["test"])
    assert one["test"] == both["test"]
    assert one["validation"] == []
    assert set(one["train"]) == {*both["train"], *both["validation"]}


def test_cuts_move_to_the_next_line_end() -> None:
    text = "".join(f"line {i:03}\r\n" for i in range(101))  # 10 characters a line: cuts at 909 and 959
    splits = split_by_position([Document(text, "n")])
    assert [len(splits[split][0].text) for split in SPLITS] == [910, 50, 50]


def test_a_cut_at_a_line_end_stays() -> None:
    splits = split_by_position([Document("123456789\n" * 100, "n")])
    assert [len(splits[split][0].text) for split in SPLITS] == [900, 50, 50]


@pytest.mark.parametrize("text", ["x" * 1000, "x" * 999 + "\n", "short\n" + "x" * 994])
def test_one_long_line_is_cut_in_the_middle(text: str) -> None:
    splits = split_by_position([Document(text, "n")])
    assert [len(splits[split][0].text) for split in SPLITS] == [900, 50, 50]


@given(st.lists(st.text(alphabet="a道\r\n", max_size=80), max_size=5))
def test_by_position_the_pieces_make_the_text(texts: list[str]) -> None:
    splits = split_by_position([Document(text, str(i)) for i, text in enumerate(texts)])
    for i, text in enumerate(texts):
        pieces = [document.text for split in SPLITS for document in splits[split] if document.name == str(i)]
        assert "".join(pieces) == text
        assert all(pieces)


def test_few_documents_are_each_cut_and_many_are_told_apart() -> None:
    few = split_documents(numbered(FEWEST_TO_HASH - 1), "n")
    assert len(few["train"]) == FEWEST_TO_HASH - 1
    assert few["train"][0].text == "document 0"[: len(few["train"][0].text)]
    many = split_documents(numbered(FEWEST_TO_HASH), "n")
    assert sum(len(many[split]) for split in SPLITS) == FEWEST_TO_HASH


@pytest.mark.parametrize("texts", [["one line\n"], [""], [], ["a"], ["ab"] * 50])
def test_too_little_text_is_refused_with_its_size(texts: list[str]) -> None:
    size = sum(map(len, texts))
    with pytest.raises(UserError, match=f"of {size} characters and nothing is left for .*; give more text"):
        split_documents([Document(text, "") for text in texts], "n")
