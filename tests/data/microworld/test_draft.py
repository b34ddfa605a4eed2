"""A draw costs what its weights say, character by character, and a text that could be read two ways is refused."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import numpy as np
import pytest

from harness.data.microworld.draft import ANSWER, REST, Sampler, character_nats, more_or_stop


def test_characters_share_out_the_nats_of_a_draw() -> None:
    options, bounds = ("red", "rose", "blue"), (1, 3, 6)  # weights 1, 2, 3
    assert character_nats(options, bounds, 0) == pytest.approx([math.log(2), math.log(3), 0])
    assert character_nats(options, bounds, 1) == pytest.approx([math.log(2), math.log(3 / 2), 0, 0])
    assert character_nats(options, bounds, 2) == pytest.approx([math.log(2), 0, 0, 0])
    assert sum(character_nats(("ab", "ac", "b"), None, 1)) == pytest.approx(math.log(3))


@pytest.mark.parametrize("options", [("a", "ab"), ("ab", "ab")])
def test_options_of_which_one_begins_another_are_refused(options: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError, match="beginning of another"):
        character_nats(options, None, 0)


@pytest.mark.parametrize(("fewest", "most"), [(1, 4), (0, 3), (2, 2)])
def test_the_length_is_uniform(fewest: int, most: int) -> None:
    """The chance of each length by the law of total probability, from the weights."""
    reached, ends = Fraction(1), {}
    for length in range(most + 1):
        options, bounds = more_or_stop((" a", " b", " c"), (";", "!"), length, fewest, most)
        sums = [0, *(bounds or range(1, len(options) + 1))]
        weight = {o: Fraction(b - a, sums[-1]) for o, a, b in zip(options, sums, sums[1:], strict=False)}
        assert weight.get(";", 0) == weight.get("!", 0)
        assert len({weight[o] for o in options if o.startswith(" ")}) <= 1
        stop = weight.get(";", Fraction(0)) + weight.get("!", Fraction(0))
        ends[length] = reached * stop
        reached *= 1 - stop
    assert reached == 0
    assert {n for n, p in ends.items() if p} == set(range(fewest, most + 1))
    assert len({p for p in ends.values() if p}) == 1


def test_a_sampler_keeps_text_nats_and_parts_together() -> None:
    sampler = Sampler(random.Random(0))
    sampler.write("is ")
    index = sampler.choose(("red", "blue"))
    sampler.write("!", ANSWER)
    sample = sampler.sample("facts")
    word = ("red", "blue")[index]
    assert (sample.facet, sample.text) == ("facts", f"is {word}!")
    assert sample.nats == pytest.approx([0, 0, 0, math.log(2), *[0] * len(word)])
    assert sample.parts.tolist() == [REST] * (3 + len(word)) + [ANSWER]


def test_draws_come_as_often_as_their_weights_say() -> None:
    rng, counts = random.Random(1), np.zeros(3)
    for _ in range(20_000):
        counts[Sampler(rng).choose(("a", "b", "c"), bounds=(1, 3, 10))] += 1
    expected = np.array([0.1, 0.2, 0.7]) * 20_000
    assert ((counts - expected) ** 2 / expected).sum() < 13.8  # chi-square with 2 degrees of freedom, p = 0.001
