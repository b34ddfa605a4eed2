"""Cutting documents into train, validation and test when the source does not say which is which.

Many documents are told apart by their own hash, so that adding one moves no other and equal ones
stay together; few documents are each cut by position.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.data.documents import SPLITS, Document
from variants.errors import UserError

CUTS = (0.90, 0.95)  # shares where train ends and validation ends; convention
FEWEST_TO_HASH = 20  # documents; with fewer, 5 % is less than one document
HELD_OUT = ("validation", "test")

Splits = dict[str, list[Document]]


def split_documents(documents: Sequence[Document], name: str, held_out: Sequence[str] = HELD_OUT) -> Splits:
    """The documents by split: 90 % train, 5 % for each split in `held_out`; what is not held out stays in train."""
    documents = [document for document in documents if document.text]
    by_hash = len({document.sha256 for document in documents}) >= FEWEST_TO_HASH
    splits = split_by_hash(documents, held_out) if by_hash else split_by_position(documents, held_out)
    empty = [split for split in ("train", *held_out) if not splits[split]]
    if empty:
        raise UserError(
            f"a corpus is cut into 90 % train, 5 % validation and 5 % test and each part needs text, but {name!r} has "
            f"{len(documents)} documents of {sum(len(d.text) for d in documents)} characters and nothing is left for "
            f"{' and '.join(empty)}; give more text"
        )
    return splits


def split_by_hash(documents: Sequence[Document], held_out: Sequence[str] = HELD_OUT) -> Splits:
    """Each document goes where its SHA-256, read as a number from 0 to 1, falls among the cuts.

    A held-out split that stays empty takes the training document with the largest number.
    """
    splits: Splits = {split: [] for split in SPLITS}
    for document in documents:
        split = SPLITS[sum(_share(document) >= cut for cut in CUTS)]
        splits[split if split in held_out else "train"].append(document)
    for split in held_out:
        if not splits[split] and splits["train"]:
            last = max(splits["train"], key=_share).sha256
            splits[split] = [document for document in splits["train"] if document.sha256 == last]
            splits["train"] = [document for document in splits["train"] if document.sha256 != last]
    return splits


def split_by_position(documents: Sequence[Document], held_out: Sequence[str] = HELD_OUT) -> Splits:
    """The first 90 %, next 5 % and last 5 % of every document's characters, cut at line ends where there are some."""
    splits: Splits = {split: [] for split in SPLITS}
    for document in documents:
        for split, text in zip(SPLITS, _pieces(document.text), strict=True):
            if text:
                splits[split if split in held_out else "train"].append(Document(text, document.name))
    return splits


def _share(document: Document) -> float:
    """The document's hash as a number in [0, 1), to 48 bits."""
    return int(document.sha256[:12], 16) / 16**12


def _pieces(text: str) -> tuple[str, str, str]:
    first, second = (int(len(text) * cut) for cut in CUTS)
    begin = _line_end(text, first, second)
    end = _line_end(text, second, len(text))
    return text[:begin], text[begin:end], text[end:]


def _line_end(text: str, position: int, before: int) -> int:
    """The first position from `position` on that follows a line end; `position` itself if none comes before `before`.

    The bound keeps a long last line from swallowing the part after the cut.
    """
    found = text.find("\n", max(position - 1, 0), before - 1)
    return position if found < 0 else found + 1
