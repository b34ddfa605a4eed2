"""The whole grammar: a document is of one facet, each as likely as another, which its first word names.

Documents are drawn independently of one another from the seed, in every split: none is left out because training
text holds it too, or the split would not have the grammar's own probabilities any more.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

from harness.data.microworld.copying import Copying
from harness.data.microworld.counting import Counting
from harness.data.microworld.draft import OPENING, Draft, Sampler
from harness.data.microworld.facts import Facts, make_world
from harness.data.microworld.nesting import Nesting
from harness.data.microworld.recall import Recall
from harness.data.microworld.reference import Reference

SEED = 0
"""Of the world and of the documents of `--data microworld`."""

NUM_DOCUMENTS = {"train": 180_000, "validation": 6_000, "test": 6_000}
"""About 6.3 MB to train on, four times what a default run reads, and 0.2 MB each to validate and to test."""


class Facet(Protocol):
    """One ability. `opening` begins its documents; no two begin with one letter."""

    @property
    def name(self) -> str: ...

    @property
    def opening(self) -> str: ...

    def write(self, draft: Draft) -> None:
        """The rest of a document, its line end included."""
        ...


@dataclass(frozen=True)
class Grammar:
    facets: tuple[Facet, ...]

    @cached_property
    def _openings(self) -> tuple[str, ...]:
        return tuple(facet.opening for facet in self.facets)

    def write(self, draft: Draft) -> Facet:
        """One document, and its facet."""
        facet = self.facets[draft.choose(self._openings, OPENING)]
        facet.write(draft)
        return facet

    def drafts(self, rng: random.Random) -> Iterator[tuple[str, Sampler]]:
        """The name of the facet, and the document, without end."""
        while True:
            sampler = Sampler(rng)
            yield self.write(sampler).name, sampler


@lru_cache(maxsize=4)
def make_grammar(seed: int = SEED) -> Grammar:
    """The grammar of `--data microworld`; the seed draws its world."""
    world = make_world(seed)
    return Grammar(
        (Facts(world), Recall(), Counting(), Nesting(), Copying(), Reference()),
    )


def facet_names() -> tuple[str, ...]:
    return tuple(facet.name for facet in make_grammar().facets)


def split_drafts(split: str, seed: int = SEED) -> Iterator[tuple[str, Sampler]]:
    """The documents of a split in their order, each with the name of its facet."""
    drafts = make_grammar(seed).drafts(random.Random(f"documents {seed} {split}"))
    return (draft for draft, _ in zip(drafts, range(NUM_DOCUMENTS[split]), strict=False))
