"""A grammar small enough to write down every text it has, by a way of our own: all draws in turn, exact fractions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

from harness.data.microworld.copying import Copying
from harness.data.microworld.counting import Counting
from harness.data.microworld.draft import REST, Bounds, Draft
from harness.data.microworld.facts import Facts, World
from harness.data.microworld.grammar import Grammar
from harness.data.microworld.nesting import Nesting
from harness.data.microworld.recall import Recall
from harness.data.microworld.reference import Reference

Value = tuple[str, Fraction, tuple[int, ...], str]
"""A text, its probability, the part of each character, and its facet."""


def small_grammar(values: Sequence[str] = ("red", "blue", "cat", "cat")) -> Grammar:
    """Every facet at its smallest; `values` are color and color, then pet and pet of the two names."""
    pairs = [("mira", "color"), ("tova", "color"), ("mira", "pet"), ("tova", "pet")]
    world = World(("mira", "tova"), {"color": ("red", "blue"), "pet": ("cat",)}, dict(zip(pairs, values, strict=True)))
    return Grammar(
        (
            Facts(world, num_facts=2),
            Recall("abc", "01", fewest=1, most=2, questions=2),
            Counting("ab", fewest=1, most=4),
            Nesting(("()", "[]"), fewest=1, most=4, deepest=2),
            Copying("ab", fewest=1, most=4),
            Reference("012", (" dog", " cat"), (" saw", " met"), fewest=1, most=3),
        )
    )


class Forced:
    """A draft whose first draws are told; the others take their first option, and all remember how many there were."""

    def __init__(self, told: Sequence[int]) -> None:
        self.told, self.taken, self.sizes = told, [], []
        self.text, self.parts, self.p = "", [], Fraction(1)

    def write(self, text: str, part: int = REST) -> None:
        self.text += text
        self.parts += [part] * len(text)

    def choose(self, options: Sequence[str], part: int = REST, bounds: Bounds | None = None) -> int:
        index = self.told[len(self.taken)] if len(self.taken) < len(self.told) else 0
        sums = [0, *(range(1, len(options) + 1) if bounds is None else bounds)]
        self.p *= Fraction(sums[index + 1] - sums[index], sums[-1])
        self.taken.append(index)
        self.sizes.append(len(options))
        self.write(options[index], part)
        return index


def every_text(write: Callable[[Draft], str]) -> Iterator[Value]:
    """All that `write` can write; it returns the facet."""
    told: list[int] = []
    while True:
        draft = Forced(told)
        facet = write(draft)
        yield draft.text, draft.p, tuple(draft.parts), facet
        told = list(draft.taken)
        while told and told[-1] + 1 == draft.sizes[len(told) - 1]:
            told.pop()
        if not told:
            return
        told[-1] += 1


def every_document(grammar: Grammar) -> list[Value]:
    return list(every_text(lambda draft: grammar.write(draft).name))


def masses(documents: Sequence[Value]) -> dict[str, Fraction]:
    """The probability that a document begins with a string, for every string that one does begin with."""
    found: dict[str, Fraction] = {}
    for text, p, _, _ in documents:
        for end in range(len(text) + 1):
            found[text[:end]] = found.get(text[:end], Fraction(0)) + p
    return found
