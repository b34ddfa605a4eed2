"""`microworld`: short documents of a written grammar with a known probability, for what a variant can do and not only
how well it does. About 6.7 MB, made from a seed in a few seconds. docs/microworld.md.
"""

from __future__ import annotations

from harness.data.documents import SPLITS, Corpus, Document, make_corpus
from harness.data.microworld.grammar import SEED, split_drafts


def load(seed: int = SEED) -> Corpus:
    train, validation, test = (
        [Document(draft.text, f"{facet} {i}") for i, (facet, draft) in enumerate(split_drafts(split, seed))]
        for split in SPLITS
    )
    return make_corpus("microworld", train, validation, test)
