from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data import bpe_tokenizer
from harness.data.bpe_tokenizer import BpeTokenizer, train_bpe
from harness.data.documents import Document

TEXT = "the cat sat on the mat, the cat ate the rat.\n道可道，非常道。\r\n<|endoftext|>"  # noqa: RUF001


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> BpeTokenizer:
    return train_bpe(290, [Document(TEXT * 5, "n")], tmp_path_factory.mktemp("cache"))


@given(text=st.text())
def test_every_text_comes_back(tokenizer: BpeTokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.token_bytes[ids].sum() == len(text.encode())
    assert tokenizer.end_of_text not in ids


@pytest.mark.parametrize("text", [TEXT, "<|endoftext|>", "a\r\nb\r\r\n\n\tc  d   \n", "\U0001f600 é \u3000", "\0"])
def test_chinese_code_and_odd_spaces_come_back(tokenizer: BpeTokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_each_token_stands_for_its_own_bytes(tokenizer: BpeTokenizer) -> None:
    """Decoding an id alone gives its bytes wherever they are ASCII; the lengths of merges are their parts' sums."""
    for i in range(tokenizer.end_of_text):
        alone = tokenizer.decode(np.array([i]))
        if alone.isascii():
            assert len(alone) == tokenizer.token_bytes[i]
    assert sorted(tokenizer.token_bytes)[:257] == [0] + [1] * 256
    assert tokenizer.token_bytes[tokenizer.end_of_text] == 0


def test_it_merges_the_most_frequent_pair_first(tmp_path: Path) -> None:
    one_merge = train_bpe(258, [Document("xyxyxy ab", "n")], tmp_path)
    ids = one_merge.encode("xyab")
    assert one_merge.token_bytes[ids].tolist() == [2, 1, 1]


def test_vocab_counts_everything(tokenizer: BpeTokenizer, tmp_path: Path) -> None:
    assert (tokenizer.vocab_size, tokenizer.end_of_text, len(tokenizer.token_bytes)) == (290, 289, 290)
    bare = train_bpe(257, [Document(TEXT, "n")], tmp_path)
    assert bare.vocab_size == 257
    assert len(bare.encode("道")) == 3


def test_a_small_text_gives_a_smaller_vocabulary(tmp_path: Path) -> None:
    small = train_bpe(4000, [Document("ab ab", "n")], tmp_path)
    assert 257 < small.vocab_size < 270
    assert small.name == "bpe:4000"


def test_training_is_deterministic(tokenizer: BpeTokenizer, tmp_path: Path) -> None:
    again = train_bpe(290, [Document(TEXT * 5, "other name")], tmp_path)
    assert again.sha256 == tokenizer.sha256
    assert train_bpe(289, [Document(TEXT * 5, "n")], tmp_path).sha256 != tokenizer.sha256


def test_it_is_trained_once_a_text_and_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = train_bpe(280, [Document(TEXT, "n")], tmp_path)
    monkeypatch.setattr(bpe_tokenizer, "_train", lambda *_: pytest.fail("trained again"))
    assert train_bpe(280, [Document(TEXT, "n")], tmp_path).sha256 == first.sha256


@given(text=st.text(alphabet="ab 道\r\n\t.'s1_", max_size=200))
def test_pieces_have_the_tokens_of_the_whole(tokenizer: BpeTokenizer, text: str) -> None:
    whole = tokenizer.encode(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bpe_tokenizer, "CHUNK", 3)
        assert "".join(bpe_tokenizer._chunks(text)) == text
        assert tokenizer.encode(text).tolist() == whole.tolist()
