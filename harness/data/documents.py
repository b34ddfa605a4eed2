"""What a corpus is: documents in three splits, known by the hash of their content and never by a file's name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from variants.errors import UserError

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Document:
    """One text that stands by itself: an article, a file, a row. Its name is for the reader only."""

    text: str
    name: str

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the UTF-8 text, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class Corpus:
    """The documents of each split, in order. `sha256` covers the texts and their splits, not the names."""

    name: str
    train: tuple[Document, ...]
    validation: tuple[Document, ...]
    test: tuple[Document, ...]
    sha256: str

    def documents(self, split: str) -> tuple[Document, ...]:
        assert split in SPLITS, split
        return getattr(self, split)


def make_corpus(
    name: str, train: Iterable[Document], validation: Iterable[Document], test: Iterable[Document] = ()
) -> Corpus:
    """A corpus of the documents that hold any text; refuses one without text to train on or to validate with."""
    splits = {
        split: tuple(document for document in documents if document.text)
        for split, documents in zip(SPLITS, (train, validation, test), strict=True)
    }
    if not any(splits.values()):
        raise UserError(f"a corpus needs some text, and {name!r} holds none; give another with --data")
    for split in ("train", "validation"):
        if not splits[split]:
            raise UserError(f"a corpus needs text in its {split} split, and {name!r} has none there; give more text")
    return Corpus(name=name, **splits, sha256=_digest(splits))


def digest_documents(documents: Iterable[Document]) -> str:
    """One hash of the texts in their order."""
    return hashlib.sha256("".join(document.sha256 for document in documents).encode()).hexdigest()


def _digest(splits: dict[str, tuple[Document, ...]]) -> str:
    lines = (f"{split} {digest_documents(splits[split])}\n" for split in SPLITS)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
