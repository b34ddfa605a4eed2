"""A control: a corpus whose documents keep their characters and lose their order."""

from __future__ import annotations

import dataclasses
import random

from harness.data.documents import SPLITS, Corpus, Document, make_corpus

SHUFFLED = "shuffled:"

SEED = 0
"""Of the order: part of the corpus."""


def shuffled(corpus: Corpus) -> Corpus:
    """The corpus with the characters of each document in a random order, alike each time."""
    rng = random.Random(SEED)
    splits = {split: [_shuffle(document, rng) for document in getattr(corpus, split)] for split in SPLITS}
    return make_corpus(SHUFFLED + corpus.name, **splits)


def _shuffle(document: Document, rng: random.Random) -> Document:
    characters = list(document.text)
    rng.shuffle(characters)
    return dataclasses.replace(document, text="".join(characters))
