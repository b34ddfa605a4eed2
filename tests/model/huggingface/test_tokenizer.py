"""The exported tokenizer gives the ids of ours for odd text, in transformers and in the tokenizers library."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data.bpe_tokenizer import train_bpe
from harness.data.byte_tokenizer import ByteTokenizer
from harness.data.documents import Document
from harness.data.tokenizer import Tokenizer
from harness.model.huggingface.tokenizer import NAMES, byte_chars, save_tokenizer
from harness.score.lmeval.hf_tokenizer import load_hf_tokenizer
from variants.errors import UserError

ODD = [
    "", " ", "\n", "\r\n\t", "  two  spaces  ", "a\n\n\nb\n", "The cat sat.", "話說孫悟空", "naïve café ÅÅ",
    "🙂👩‍👩‍👧 🇫🇷",
    "\x00\x01\x7f", "\u200b\ufeff\u00a0", "\ufffd", "it's 'twas we'll", "x" * 300, "<|endoftext|>", "a<|endoftext|> b",
    "".join(chr(c) for c in range(0x2000, 0x2100)), "\U0010ffff\U0001f9ff", "é é",
]  # fmt: skip


@pytest.fixture(params=["bytes", "bpe"])
def ours(request: pytest.FixtureRequest, tmp_path: Path) -> Tokenizer:
    if request.param == "bytes":
        return ByteTokenizer()
    return train_bpe(320, [Document("the cat sat on the mat, 話說孫悟空 and then it ran off\n" * 40, "a")], tmp_path)


@pytest.fixture
def folder(ours: Tokenizer, tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    save_tokenizer(ours.to_json(), ours.end_of_text, 32, folder)
    return folder


def texts() -> list[str]:
    rng = random.Random(0)
    ranges = [(0x20, 0x7F), (0x80, 0x800), (0x3000, 0x9FFF), (0x1F300, 0x1FAFF)]
    return [*ODD, *("".join(chr(rng.randrange(*rng.choice(ranges))) for _ in range(60)) for _ in range(40))]


def test_transformers_gives_our_ids_and_texts(ours: Tokenizer, folder: Path) -> None:
    transformers: Any = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    assert theirs.is_fast
    assert len(theirs) == ours.vocab_size
    assert theirs.eos_token_id == theirs.bos_token_id == ours.end_of_text
    assert theirs.model_max_length == 32
    for text in texts():
        ids = ours.encode(text).tolist()
        assert theirs(text)["input_ids"] == ids, repr(text)
        assert theirs.encode(text, add_special_tokens=False) == ids
        assert theirs.decode(ids) == ours.decode(np.array(ids, dtype=np.int64)) == text
    rng = random.Random(1)
    for _ in range(40):  # ids that are no text
        ids = rng.choices(range(ours.vocab_size), k=20)
        assert theirs.decode(ids, skip_special_tokens=True) == ours.decode(np.array(ids))


def test_our_reader_gives_our_ids(ours: Tokenizer, folder: Path) -> None:
    theirs = load_hf_tokenizer(folder)
    assert (theirs.vocab_size, theirs.end_of_text, theirs.prefix_token) == (
        ours.vocab_size,
        ours.end_of_text,
        ours.end_of_text,
    )
    for text in texts():
        assert theirs.encode(text).tolist() == theirs.encode_with_special(text).tolist() == ours.encode(text).tolist()
        assert theirs.decode(theirs.encode(text)) == text


def test_the_files_and_the_byte_alphabet(folder: Path) -> None:
    from tokenizers import pre_tokenizers

    assert {path.name for path in folder.iterdir()} == set(NAMES)
    assert set(byte_chars()) == set(pre_tokenizers.ByteLevel.alphabet())
    assert byte_chars()[ord("a")] == "a"
    assert byte_chars()[ord(" ")] == "Ġ"


def test_another_end_of_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="got 300 after 256 tokens"):
        save_tokenizer(ByteTokenizer().to_json(), 300, 32, tmp_path)
