"""A corpus as token streams on disk, made once and memory-mapped by every worker.

A split is one stream: for each document, the end-of-text token and then the document's tokens. The
folder's name is the hash of what made it, so equal content is tokenized once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.atomic import new_folder
from harness.data.documents import SPLITS, Corpus, Document
from harness.data.tokenizer import Tokenizer, tokenizer_from_json
from variants.errors import UserError

FORM = 1  # of the files; a change of it makes every folder anew


@dataclass(frozen=True, eq=False)
class TokenizedData:
    """The three streams and what is needed to read them. Arrays are read-only maps of the files.

    `document_starts[split][i]` is the position of document i's end-of-text token in the stream.
    """

    name: str
    sha256: str  # of corpus_sha256 and the tokenizer
    corpus_sha256: str
    tokenizer: str
    tokenizer_sha256: str
    vocab_size: int
    end_of_text: int
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    token_bytes: np.ndarray  # (vocab_size,) bytes of text an id stands for
    document_starts: Mapping[str, np.ndarray]
    num_bytes: Mapping[str, int]  # bytes of UTF-8 text a split

    def tokens(self, split: str) -> np.ndarray:
        assert split in SPLITS, split
        return getattr(self, split)

    @property
    def validation_bytes(self) -> int:
        return self.num_bytes["validation"]

    def require(self, seq_len: int) -> None:
        """Refuse a split too short for a single window: seq_len inputs and the target after the last."""
        for split in ("train", "validation"):
            if len(self.tokens(split)) < seq_len + 1:
                raise UserError(
                    f"seq_len {seq_len} needs at least {seq_len + 1} tokens in the {split} split, and {self.name!r} "
                    f"has {len(self.tokens(split))} there ({self.tokenizer}); give more text or a smaller seq_len"
                )

    def to_json(self) -> dict[str, Any]:
        """What a study's record says of its data."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "corpus_sha256": self.corpus_sha256,
            "tokenizer": self.tokenizer,
            "vocab_size": self.vocab_size,
            "train_tokens": len(self.train),
            "validation_tokens": len(self.validation),
            "validation_bytes": self.validation_bytes,
        }


def prepare(corpus: Corpus, tokenizer: Tokenizer, cache_folder: Path) -> TokenizedData:
    """Tokenize the corpus unless it was done before; safe when several processes do it at once."""
    sha256 = hashlib.sha256(f"{FORM} {corpus.sha256} {tokenizer.sha256}".encode()).hexdigest()
    if not (cache_folder / sha256).is_dir():
        with new_folder(cache_folder / sha256) as folder:
            _write(folder, corpus, tokenizer, sha256)
    return dataclasses.replace(load(cache_folder, sha256), name=corpus.name)


def load(cache_folder: Path, sha256: str) -> TokenizedData:
    """The data `prepare` made, as a worker opens it: by hash.

    Raises:
        UserError: it is not there, or a file of it is cut short or damaged.
    """
    folder = _folder(cache_folder, sha256)
    with _damage_told(folder):
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        return TokenizedData(
            **meta,
            train=_map(folder / "train.npy"),
            validation=_map(folder / "validation.npy"),
            test=_map(folder / "test.npy"),
            token_bytes=_map(folder / "token_bytes.npy"),
            document_starts={split: _map(folder / f"{split}_starts.npy") for split in SPLITS},
        )


def load_tokenizer(cache_folder: Path, sha256: str) -> Tokenizer:
    """The tokenizer that prepared the data with this hash. Raises what `load` raises."""
    folder = _folder(cache_folder, sha256)
    with _damage_told(folder):
        return tokenizer_from_json((folder / "tokenizer.json").read_text(encoding="utf-8"))


@contextlib.contextmanager
def _damage_told(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"the prepared data in {folder} is damaged ({error}); delete that folder, the same command makes it anew"
        ) from error


def encode_documents(documents: Sequence[Document], tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """The stream of these documents, and the position where each begins."""
    dtype = np.uint16 if tokenizer.vocab_size < 1 << 16 else np.uint32
    mark = np.array([tokenizer.end_of_text], dtype=dtype)
    pieces = [np.concatenate([mark, tokenizer.encode(document.text).astype(dtype)]) for document in documents]
    ends = np.cumsum([0, *(len(piece) for piece in pieces)], dtype=np.int64)
    return np.concatenate([np.empty(0, dtype=dtype), *pieces]), ends[:-1]


def _write(folder: Path, corpus: Corpus, tokenizer: Tokenizer, sha256: str) -> None:
    num_bytes = {}
    for split in SPLITS:
        documents = corpus.documents(split)
        stream, starts = encode_documents(documents, tokenizer)
        num_bytes[split] = sum(len(document.text.encode()) for document in documents)
        assert int(tokenizer.token_bytes[stream].sum()) == num_bytes[split], f"{tokenizer.name} lost text of {split}"
        np.save(folder / f"{split}.npy", stream)
        np.save(folder / f"{split}_starts.npy", starts)
    np.save(folder / "token_bytes.npy", tokenizer.token_bytes)
    meta = {
        "name": corpus.name,
        "sha256": sha256,
        "corpus_sha256": corpus.sha256,
        "tokenizer": tokenizer.name,
        "tokenizer_sha256": tokenizer.sha256,
        "vocab_size": tokenizer.vocab_size,
        "end_of_text": tokenizer.end_of_text,
        "num_bytes": num_bytes,
    }
    (folder / "tokenizer.json").write_text(tokenizer.to_json(), encoding="utf-8")
    (folder / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")


def _folder(cache_folder: Path, sha256: str) -> Path:
    if not (cache_folder / sha256 / "meta.json").is_file():
        raise UserError(
            f"prepared data is found by its SHA-256, and {sha256!r} is not under {cache_folder}; "
            "start the command again on this machine to make it"
        )
    return cache_folder / sha256


def _map(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)
