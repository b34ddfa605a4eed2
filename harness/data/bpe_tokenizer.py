"""`bpe:VOCAB`: byte-level byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909; on bytes, Radford et al. 2019)
by the tokenizers library, trained on the training split only.

End-of-text is kept outside the library's model: a text that happens to spell a special token stays text.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from harness.data.atomic import write_text
from harness.data.documents import Document, digest_documents

CHUNK = 1 << 16  # characters encoded at a time; measured: 10 MB in one piece takes 1.9 GB
BOUNDARY = re.compile(r"(?<=\w)\n")  # the library's pattern never joins a letter to the line end after it


class BpeTokenizer:
    """`model` is the library's own JSON."""

    def __init__(self, name: str, model: str) -> None:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # its threads and forked workers do not go together
        from tokenizers import Tokenizer

        self.name = name
        self._model = model
        self._tokenizer = Tokenizer.from_str(model)
        self.end_of_text = self._tokenizer.get_vocab_size()
        self.vocab_size = self.end_of_text + 1
        self.token_bytes = np.zeros(self.vocab_size, dtype=np.int64)
        for token, i in self._tokenizer.get_vocab().items():
            self.token_bytes[i] = len(token)  # the library writes each byte as one character
        self.sha256 = hashlib.sha256(self.to_json().encode()).hexdigest()
        self._dtype = np.uint16 if self.vocab_size < 1 << 16 else np.uint32

    def encode(self, text: str) -> np.ndarray:
        pieces = [np.array(self._tokenizer.encode(chunk).ids, dtype=self._dtype) for chunk in _chunks(text)]
        return np.concatenate([np.empty(0, dtype=self._dtype), *pieces])

    def decode(self, ids: np.ndarray) -> str:
        ids = np.asarray(ids)
        return self._tokenizer.decode(ids[ids != self.end_of_text].tolist(), skip_special_tokens=False)

    def to_json(self) -> str:
        return json.dumps({"name": self.name, "model": self._model})


def train_bpe(vocab_size: int, documents: Sequence[Document], cache_folder: Path) -> BpeTokenizer:
    """A tokenizer of at most `vocab_size` ids; the same text and size is trained once a cache folder.

    A text too small to fill the vocabulary gives a smaller one: ask the tokenizer for its vocab_size.
    """
    import tokenizers

    name = f"bpe:{vocab_size}"
    asked = f"{name} tokenizers {tokenizers.__version__} {digest_documents(documents)}"
    path = cache_folder / "tokenizers" / f"{hashlib.sha256(asked.encode()).hexdigest()}.json"
    if not path.is_file():
        write_text(path, _train(vocab_size - 1, documents))
    return BpeTokenizer(name, path.read_text(encoding="utf-8"))


def _train(num_tokens: int, documents: Sequence[Document]) -> str:
    """The library's JSON of a model with `num_tokens` tokens of text, every byte among them."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=num_tokens,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[],
        show_progress=False,
    )
    chunks = (chunk for document in documents for chunk in _chunks(document.text))
    tokenizer.train_from_iterator(chunks, trainer)
    return tokenizer.to_str()


def _chunks(text: str) -> Iterator[str]:
    """The text in pieces of about CHUNK characters whose tokens, joined, are the tokens of the whole."""
    start = 0
    while start < len(text):
        cut = BOUNDARY.search(text, start + CHUNK)
        end = cut.start() if cut else len(text)
        yield text[start:end]
        start = end
