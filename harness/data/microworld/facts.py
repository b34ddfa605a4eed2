"""Facts: who likes what, the same in every document. They are to be remembered by the weights: no context tells them.

    fact mira pet owl tova food rice ...

The names are drawn by a law of Zipf, so some facts are read often and some only now and then. Given the
world a value is certain: its floor is 0 (the capacity of such memories: Allen-Zhu and Li 2024, arXiv:2404.05405).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, product

from harness.data.microworld.draft import ANSWER, Bounds, Draft

VALUES = {
    "color": ("blue", "gold", "gray", "jade", "mint", "pink", "rust", "teal"),
    "home": ("lake", "hill", "cave", "port", "wood", "farm", "fort", "city"),
    "food": ("fish", "rice", "bean", "corn", "pear", "plum", "nuts", "cake"),
    "pet": ("crow", "duck", "hare", "lynx", "moth", "seal", "toad", "wolf"),
}
"""Of one length, so that a wrong value is no shorter than a right one."""

NUM_NAMES = 128
"""With four attributes 512 facts of 3 bits. Assumption: the default run meets the rarest a few times."""

COMMONEST = 1000
"""Weight of the commonest name; the name of rank r has COMMONEST // r."""

NUM_FACTS = 3
"""Facts a document: 50 bytes in all."""


@dataclass(frozen=True)
class World:
    """Names, and for each name its value of every attribute. Names have one length, so none begins another."""

    names: tuple[str, ...]
    values: dict[str, tuple[str, ...]]
    table: dict[tuple[str, str], str]  # (name, attribute) -> value


def make_world(seed: int, num_names: int = NUM_NAMES, values: dict[str, tuple[str, ...]] | None = None) -> World:
    """A world drawn from the seed: names of four letters, values uniform."""
    rng = random.Random(f"world {seed}")
    values = VALUES if values is None else values
    possible = ["".join(letters) for letters in product("bdfgklmnprstvz", "aeiou", "bdfgklmnprstvz", "aeiou")]
    names = tuple(sorted(possible, key=lambda _: rng.random())[:num_names])
    table = {(n, a): values[a][int(rng.random() * len(values[a]))] for n in names for a in values}
    return World(names, values, table)


@dataclass(frozen=True)
class Facts:
    world: World
    num_facts: int = NUM_FACTS
    name: str = "facts"
    opening: str = "fact"

    @cached_property
    def _names(self) -> tuple[tuple[str, ...], Bounds]:
        names = self.world.names
        return tuple(f" {n}" for n in names), tuple(accumulate(COMMONEST // r for r in range(1, len(names) + 1)))

    @cached_property
    def _attributes(self) -> tuple[str, ...]:
        return tuple(f" {a}" for a in self.world.values)

    def write(self, draft: Draft) -> None:
        names, bounds = self._names
        for _ in range(self.num_facts):
            name = names[draft.choose(names, bounds=bounds)]
            attribute = self._attributes[draft.choose(self._attributes)]
            draft.write(f" {self.world.table[name[1:], attribute[1:]]}", ANSWER)
        draft.write("\n")
