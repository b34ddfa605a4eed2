"""How a document is written: certain text and draws, so that what each character costs in nats is known exactly.

A draw takes one of several strings, none of them the beginning of another, with whole-number weights. A text then has
one derivation at most: at each draw exactly one of the strings stands there. So

    p(text) = product over the draws of weight / sum of weights,

and inside a drawn string p(character | all before it) is the ratio of the weights of the strings that go on that way.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Protocol

import numpy as np

OPENING, REST, ANSWER = 0, 1, 2
"""Parts of a document: the word that names its facet, what the grammar draws or repeats, and what only the context
or the world tells. The text before a character decides its part, so that each part's excess is a divergence.
"""

Bounds = tuple[int, ...]
"""Running sums of the weights of a draw."""


class Draft(Protocol):
    """What a facet writes on: a sampler, or whoever wants to know all it could write."""

    def write(self, text: str, part: int = REST) -> None:
        """Text that is certain after what stands before it."""
        ...

    def choose(self, options: Sequence[str], part: int = REST, bounds: Bounds | None = None) -> int:
        """Write one of `options` and return which; all are equally likely without `bounds`."""
        ...


@dataclass(frozen=True, eq=False)
class Sample:
    """A document with what is known of it. `nats[i]` is -log p(character i | those before it), `parts[i]` its part.

    Text is ASCII, so characters are bytes: nats and parts are (len(text),).
    """

    facet: str
    text: str
    nats: np.ndarray
    parts: np.ndarray


class Sampler:
    """A draft written by a random generator. `random.random` is all it uses: Python keeps its numbers for a seed."""

    def __init__(self, rng: random.Random) -> None:
        self._random = rng.random
        self._pieces: list[tuple[str, int]] = []
        self._draws: list[tuple[Sequence[str], Bounds | None, int] | None] = []

    def write(self, text: str, part: int = REST) -> None:
        self._pieces.append((text, part))
        self._draws.append(None)

    def choose(self, options: Sequence[str], part: int = REST, bounds: Bounds | None = None) -> int:
        if bounds is None:
            index = int(self._random() * len(options))
        else:
            index = bisect_right(bounds, self._random() * bounds[-1])
        self._pieces.append((options[index], part))
        self._draws.append((options, bounds, index))
        return index

    @property
    def text(self) -> str:
        return "".join([text for text, _ in self._pieces])

    def sample(self, facet: str) -> Sample:
        """What was written, with its nats and parts."""
        nats: list[float] = []
        for (text, _), draw in zip(self._pieces, self._draws, strict=True):
            nats += [0.0] * len(text) if draw is None else character_nats(tuple(draw[0]), *draw[1:])
        parts = [part for text, part in self._pieces for _ in text]
        return Sample(facet, self.text, np.array(nats), np.array(parts, dtype=np.int8))


@lru_cache(maxsize=1 << 16)
def character_nats(options: tuple[str, ...], bounds: Bounds | None, index: int) -> tuple[float, ...]:
    """-log p of each character of options[index] given those before it, in the draw."""
    weights = [1] * len(options) if bounds is None else [b - a for a, b in zip((0, *bounds), bounds, strict=False)]
    chosen, mass, nats = options[index], sum(weights), []
    for end in range(1, len(chosen) + 1):
        beginning = chosen[:end]
        left = sum(w for option, w in zip(options, weights, strict=True) if option.startswith(beginning))
        nats.append(math.log(mass / left))
        mass = left
    assert mass == weights[index] > 0, f"{chosen!r} is the beginning of another of {options}, or has no weight"
    return tuple(nats)


@lru_cache(maxsize=1 << 16)
def more_or_stop(
    more: tuple[str, ...], stops: tuple[str, ...], length: int, fewest: int, most: int
) -> tuple[tuple[str, ...], Bounds | None]:
    """Options and bounds of a draw that goes on with one of `more` or ends with one of `stops`.

    At `length` it stops with 1 / (most - length + 1), which makes the final length uniform from `fewest` to `most`.
    """
    assert fewest <= most, (fewest, most)
    if length < fewest:
        return more, None
    if length >= most:
        return stops, None
    weights = [(most - length) * len(stops)] * len(more) + [len(more)] * len(stops)
    return more + stops, tuple(accumulate(weights))
