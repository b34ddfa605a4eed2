"""The probability of a text is the grammar's: against all texts of a small one, and for the whole one against closed
forms written down by hand from docs/microworld.md.
"""

from __future__ import annotations

import itertools
import math
import random
import re
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from harness.data.microworld import grammar as module
from harness.data.microworld.draft import ANSWER, OPENING, Sample
from harness.data.microworld.facts import make_world
from harness.data.microworld.grammar import facet_names, make_grammar, split_drafts
from tests.data.microworld.small import Value, masses, small_grammar

FIRST = "fact sotu home wood kota home port fobu pet toad\n"


def samples(split: str, count: int) -> list[Sample]:
    return [draft.sample(facet) for facet, draft in itertools.islice(split_drafts(split), count)]


def test_every_text_has_one_derivation_and_together_they_are_certain(documents: list[Value]) -> None:
    texts = [text for text, _, _, _ in documents]
    assert len(set(texts)) == len(texts) > 500
    assert sum(p for _, p, _, _ in documents) == 1
    assert {facet for _, _, _, facet in documents} == set(facet_names())
    assert all(text.endswith("\n") and text.count("\n") == 1 for text in texts), "no text is the beginning of another"


def test_nats_by_character_are_those_of_summing_over_all_texts(documents: list[Value]) -> None:
    mass, known = masses(documents), {text: (facet, parts) for text, _, parts, facet in documents}
    drafts = small_grammar().drafts(random.Random(0))
    for name, draft in itertools.islice(drafts, 500):
        sample = draft.sample(name)
        expected = [-math.log(mass[sample.text[: i + 1]] / mass[sample.text[:i]]) for i in range(len(sample.text))]
        assert sample.nats == pytest.approx(expected, abs=1e-12)
        assert (sample.facet, tuple(sample.parts)) == known[sample.text]


def test_texts_come_as_often_as_they_should(documents: list[Value]) -> None:
    draws = 40_000
    drafts = small_grammar().drafts(random.Random(7))
    counts = Counter(draft.text for _, draft in itertools.islice(drafts, draws))
    assert set(counts) <= {text for text, _, _, _ in documents}
    common = {text: float(p) * draws for text, p, _, _ in documents if p * draws >= 10}
    seen = [counts[text] for text in common]
    assert len(common) > 100
    rest = (draws - sum(seen), draws - sum(common.values()))
    assert stats.chisquare([*seen, rest[0]], [*common.values(), rest[1]]).pvalue > 0.001


def test_the_text_before_a_character_decides_its_part(documents: list[Value]) -> None:
    """Or the excess of a part would be no divergence, and could be negative for a good model."""
    part_after: dict[str, set[int]] = {}
    for text, _, parts, _ in documents:
        for i, part in enumerate(parts):
            part_after.setdefault(text[:i], set()).add(part)
    assert {len(parts) for parts in part_after.values()} == {1}


def test_answers_are_certain_and_openings_name_the_facet() -> None:
    for sample in samples("validation", 300):
        assert sample.nats[sample.parts == ANSWER].sum() == 0
        assert (sample.parts == ANSWER).any() or sample.facet == "reference", "a tale may not come back to K or Q"
        assert sample.nats[sample.parts == OPENING].sum() == pytest.approx(math.log(6))
        opening = "".join(c for c, part in zip(sample.text, sample.parts, strict=True) if part == OPENING)
        (facet,) = [f for f in make_grammar().facets if f.opening == opening]
        assert facet.name == sample.facet
        assert sample.text.startswith(opening + " ")


# Closed forms: p(text | facet), each also checking that the answers are right.


def facts(text: str) -> Fraction:
    words = text.split()[1:]
    world = make_world(0)
    total = sum(1000 // rank for rank in range(1, 129))
    p = Fraction(1)
    for name, attribute, value in zip(words[::3], words[1::3], words[2::3], strict=True):
        assert world.table[name, attribute] == value
        p *= Fraction(1000 // (world.names.index(name) + 1), total) / 4
    assert len(words) == 9
    return p


def recall(text: str) -> Fraction:
    match = re.fullmatch(r"pair ((?:[a-h]\d){2,8});((?:[a-h]\d){12})\n", text)
    assert match
    pairs = dict(zip(match[1][::2], match[1][1::2], strict=True))
    n = len(match[1]) // 2
    assert len(pairs) == n
    assert all(pairs[key] == value for key, value in zip(match[2][::2], match[2][1::2], strict=True))
    return Fraction(1, 7 * math.perm(8, n) * 10**n * n**12)


def counting(text: str) -> Fraction:
    match = re.fullmatch(r"count ([abc]{2,16}):a(\d+)b(\d+)c(\d+)\n", text)
    assert match
    assert [match[1].count(mark) for mark in "abc"] == [int(match[i]) for i in (2, 3, 4)]
    return Fraction(1, 15 * 3 ** len(match[1]))


def copying(text: str) -> Fraction:
    match = re.fullmatch(r"echo ([a-h]{1,20});\1\n", text)
    assert match
    return Fraction(1, 20 * 8 ** len(match[1]))


def nesting(text: str) -> Fraction:
    match = re.fullmatch(r"nest ([][(){}]+)x([])}]+)\n", text)
    assert match
    p, depth, length = Fraction(1), 0, 0
    for bracket in match[1]:
        stop = Fraction(1, 6) if length >= 2 and depth else Fraction(0)
        both = 0 < depth < 6
        p *= (1 - stop) * (Fraction(1, 2) if both else 1) * (Fraction(1, 3) if bracket in "([{" else 1)
        depth += 1 if bracket in "([{" else -1
        length += 1
        assert 0 <= depth <= 6
    assert 2 <= length <= 16 or (length == 17 and depth == 1)
    balanced = match[1] + match[2]
    while any(pair in balanced for pair in ("()", "[]", "{}")):
        for pair in ("()", "[]", "{}"):
            balanced = balanced.replace(pair, "")
    assert balanced == ""
    return p if length >= 16 else p / 6


def reference(text: str) -> Fraction:
    match = re.fullmatch(r"tale K(\d) Q(\d)((?: the \w{3} \w{3}| a \w{3} \w{3}| K\d| Q\d){2,9})\n", text)
    assert match
    told = {"K": match[1], "Q": match[2]}
    assert match[1] != match[2]
    p = Fraction(1, 10 * 9 * 8)  # two numbers, and how many steps
    for letter, number, _ in re.findall(r" (?:([KQ])(\d)|((?:the|a) \w+ \w+))", match[3]):
        p *= Fraction(1, 4) if letter else Fraction(1, 4 * 8 * 8)
        assert not letter or told[letter] == number
    return p


@pytest.mark.parametrize("form", [facts, recall, counting, copying, nesting, reference], ids=lambda f: f.__name__)
def test_the_floor_is_that_of_a_closed_form(form) -> None:
    found = [sample for sample in samples("validation", 2500) if sample.facet == form.__name__]
    assert len(found) > 300
    for sample in found:
        assert sample.nats.sum() == pytest.approx(-math.log(form(sample.text) / 6), rel=1e-12)


ANSWERS = {
    "facts": lambda text: ["".join(f" {word}" for word in text.split()[3::3])],
    "recall": lambda text: text.strip().split(";")[1][1::2],
    "counting": lambda text: re.findall(r"\d+", text),
    "copying": lambda text: text.split(";")[1:],
    "nesting": lambda text: text.split("x")[1:],
    "reference": lambda text: re.findall(r"[KQ](\d)", text)[2:],
}


@pytest.mark.parametrize("facet", ANSWERS)
def test_answers_are_where_they_are_said_to_be(facet: str) -> None:
    for sample in (sample for sample in samples("validation", 1000) if sample.facet == facet):
        found = "".join(c for c, part in zip(sample.text, sample.parts, strict=True) if part == ANSWER)
        assert found == "".join(ANSWERS[facet](sample.text))


def test_a_seed_is_a_corpus_and_splits_differ() -> None:
    first, again = samples("validation", 50), samples("validation", 50)
    assert [s.text for s in first] == [s.text for s in again]
    assert [s.text for s in first] != [s.text for s in samples("test", 50)]
    other = [draft.text for _, draft in itertools.islice(split_drafts("validation", seed=1), 50)]
    assert [s.text for s in first] != other
    assert make_world(0).table != make_world(1).table
    assert samples("train", 1)[0].text == FIRST, "the corpus of seed 0 has changed: its floors and records too"


def test_texts_are_short_ascii_and_names_begin_no_other() -> None:
    found = samples("validation", 4000)
    assert all(sample.text.isascii() for sample in found)
    assert max(len(sample.text) for sample in found) < 128, "a document fits the default context with its mark"
    names = make_world(0).names
    assert len(set(names)) == 128
    assert {len(name) for name in names} == {4}
    shares = np.array([sum(s.facet == facet for s in found) for facet in facet_names()]) / len(found)
    assert np.abs(shares - 1 / 6).max() < 0.03
    assert module.NUM_DOCUMENTS["validation"] >= 4000
