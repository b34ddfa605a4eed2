"""From text to token ids and back: what a tokenizer must do, and the one behind a name such as `bytes`.

Every tokenizer has one token that is no text, end-of-text, with the last id; it opens each document.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

import numpy as np

from harness.data.bpe_tokenizer import BpeTokenizer, train_bpe
from harness.data.byte_tokenizer import NUM_BYTES, ByteTokenizer
from harness.data.documents import Corpus
from variants.errors import UserError, nearest

SMALLEST_VOCAB = NUM_BYTES + 1  # every byte and end-of-text, or some text could not be written


class Tokenizer(Protocol):
    """Lossless: decode(encode(text)) == text for every text."""

    @property
    def name(self) -> str: ...

    @property
    def vocab_size(self) -> int:
        """How many ids there are, end-of-text included."""
        ...

    @property
    def end_of_text(self) -> int:
        """The id that opens every document; `encode` never returns it and `decode` leaves it out."""
        ...

    @property
    def token_bytes(self) -> np.ndarray:
        """(vocab_size,) int64: the bytes of text each id stands for, 0 for end-of-text."""
        ...

    @property
    def sha256(self) -> str:
        """Of `to_json`, so tokenizers that agree on it give equal ids."""
        ...

    def encode(self, text: str) -> np.ndarray:
        """(tokens,) ids, uint16 where they fit."""
        ...

    def decode(self, ids: np.ndarray) -> str:
        """The text; bytes that are not UTF-8 show as U+FFFD."""
        ...

    def to_json(self) -> str:
        """All there is to know to build it again, for `tokenizer_from_json`."""
        ...


def make_tokenizer(name: str, corpus: Corpus, cache_folder: Path) -> Tokenizer:
    """`bytes`, or `bpe:VOCAB` trained on the corpus's training split (kept under `cache_folder`)."""
    if name == "bytes":
        return ByteTokenizer()
    kind, _, vocab = name.partition(":")
    if kind != "bpe":
        raise UserError(f"--tokenizer takes bytes or bpe:VOCAB, not {name!r}{nearest(name, ('bytes', 'bpe:1024'))}")
    if not (vocab.isascii() and vocab.isdigit() and int(vocab) >= SMALLEST_VOCAB):
        raise UserError(
            f"bpe:VOCAB needs a whole number of at least {SMALLEST_VOCAB} (256 bytes and end-of-text), "
            f"not {vocab!r}; try bpe:1024"
        )
    return train_bpe(int(vocab), corpus.train, cache_folder)


def tokenizer_from_json(text: str) -> Tokenizer:
    """The tokenizer that `to_json` described."""
    description = json.loads(text)
    if description["name"] == "bytes":
        return ByteTokenizer()
    return BpeTokenizer(description["name"], description["model"])
