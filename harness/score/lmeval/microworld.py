"""lm-eval tasks for the facets of `--data microworld`: `microworld_recall` and so on, and the group `microworld`.

Made from held-out documents of the grammar: the text up to an answer, and which of two or four answers is right. All
choices have one form and length and the right one stands anywhere, so guessing scores exactly one over their number; a
model that knows how common each count of marks is can score a little more there without counting. Any model can be
asked; the questions mean something for one that was trained on the corpus.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np

from harness.data.microworld.draft import ANSWER, Sample
from harness.data.microworld.facts import VALUES
from harness.data.microworld.grammar import facet_names, split_drafts
from harness.data.tokenizer import Tokenizer
from harness.score.lmeval.offline import ACC, ACC_NORM, documents_source
from variants.errors import UserError

GROUP = "microworld"
MAX_ITEMS = 250
"""Items a task: a standard error of about 3 %. Measured: the six tasks take 10 s at nano size on a busy core."""

SEED = 0
"""Of the questions and the wrong answers: part of the tasks' definition."""

NUM_CHOICES = 4

MAX_DRAWS = 20
"""Draws for three wrong answers; a document in which they do not suffice is left out."""

Wrong = Callable[[str, str, random.Random], list[str]]


def names() -> tuple[str, ...]:
    """What a user may name: the group, and a task a facet."""
    return (GROUP, *(f"{GROUP}_{facet}" for facet in facet_names()))


def definitions(name: str, tokenizer: Tokenizer) -> list[dict[str, Any]]:
    """lm-eval configurations of the tasks that `name` stands for.

    Raises:
        UserError: the tokenizer joins the end of every context with the answer.
    """
    assert name in names(), name
    return [
        {
            "task": f"{GROUP}_{facet}",
            "custom_dataset": documents_source("test", make_items(facet, tokenizer)),
            "output_type": "multiple_choice",
            "test_split": "test",
            "doc_to_text": "context",
            "doc_to_target": "gold",
            "doc_to_choice": "choices",
            "target_delimiter": "",
            "num_fewshot": 0,
            "metric_list": [ACC, ACC_NORM],
            "metadata": {"version": 1.0},
        }
        for facet in facet_names()
        if name in (GROUP, f"{GROUP}_{facet}")
    ]


def make_items(facet: str, tokenizer: Tokenizer) -> list[dict[str, Any]]:
    """Documents of a task: context, choices, gold (index of the right one). One question a document.

    Raises:
        UserError: the tokenizer joins the end of every context with the answer, which lm-eval cannot score.
    """
    rng = random.Random(f"{SEED} {facet}")
    items = []
    for sample in _held_out(facet):
        item = _item(sample, rng)
        if item is not None and _splits_here(item, tokenizer):
            items.append(item)
        if len(items) == MAX_ITEMS:
            return items
    if not items:
        raise UserError(
            f"{GROUP}_{facet} needs a tokenizer that keeps a context apart from the answer after it, and "
            f"{tokenizer.name} joins them; train with --tokenizer bytes or bpe:VOCAB"
        )
    return items


@cache
def _held_out(facet: str) -> tuple[Sample, ...]:
    """The test split's documents of a facet."""
    return tuple(draft.sample(facet) for name, draft in split_drafts("test") if name == facet)


def _item(sample: Sample, rng: random.Random) -> dict[str, Any] | None:
    """A question about one of the document's answers; None where it has none, or too few wrong ones to choose from."""
    answers = list(_answers(sample))
    if not answers:
        return None
    begin, end = rng.choice(answers)
    context, right = sample.text[:begin], sample.text[begin:end]
    wrong = WRONG[sample.facet](context, right, rng)
    if len(wrong) < NUM_WRONG.get(sample.facet, NUM_CHOICES - 1):
        return None
    choices = [right, *wrong]
    assert len(set(choices)) == len(choices), choices
    rng.shuffle(choices)
    return {"context": context, "choices": choices, "gold": choices.index(right)}


def _answers(sample: Sample) -> Iterator[tuple[int, int]]:
    """Where the answers begin and end in the text."""
    answer = np.concatenate([[False], sample.parts == ANSWER, [False]])
    begins, ends = np.flatnonzero(answer[1:] & ~answer[:-1]), np.flatnonzero(~answer[1:] & answer[:-1])
    return zip(begins.tolist(), ends.tolist(), strict=True)


def _facts(context: str, right: str, rng: random.Random) -> list[str]:
    """Other values of the attribute."""
    values = [f" {value}" for value in VALUES[context.split()[-1]]]
    return rng.sample([value for value in values if value != right], NUM_CHOICES - 1)


def _recall(context: str, right: str, rng: random.Random) -> list[str]:
    """Values of the document's other keys."""
    pairs = context.split()[1].split(";")[0]
    others = sorted({value for value in pairs[1::2] if value != right})
    return rng.sample(others, min(len(others), NUM_CHOICES - 1))


def _counting(context: str, right: str, rng: random.Random) -> list[str]:
    """Four numbers of one digit in a row, the right one anywhere among them; none where it could not stand anywhere."""
    least = int(right) - rng.randrange(NUM_CHOICES)
    if not NUM_CHOICES - 1 <= int(right) <= 9 - (NUM_CHOICES - 1):
        return []
    return [str(n) for n in range(least, least + NUM_CHOICES) if str(n) != right]


def _nesting(context: str, right: str, rng: random.Random) -> list[str]:
    """As many closing brackets, each of any kind."""
    return _different(right, lambda: "".join(rng.choice(")]}") for _ in right[:-1]) + "\n")


def _copying(context: str, right: str, rng: random.Random) -> list[str]:
    """The same letters in other orders: one exchange of the right row would make it the most usual of the four."""
    return _different(right, lambda: "".join(rng.sample(right[:-1], len(right) - 1)) + "\n")


def _different(right: str, draw: Callable[[], str]) -> list[str]:
    """Three that differ from one another and from the right one; fewer where so few are found."""
    wrong: dict[str, None] = {}
    for _ in range(MAX_DRAWS):
        if (row := draw()) != right and len(wrong) < NUM_CHOICES - 1:
            wrong[row] = None
    return list(wrong)


def _reference(context: str, right: str, rng: random.Random) -> list[str]:
    """The number of the other of the two."""
    return [word[1] for word in context.split()[1:3] if word[1] != right]


WRONG: dict[str, Wrong] = {
    "facts": _facts,
    "recall": _recall,
    "counting": _counting,
    "nesting": _nesting,
    "copying": _copying,
    "reference": _reference,
}
"""What draws the wrong answers, from the context and the right answer."""

NUM_WRONG = {"reference": 1}
"""Where it is not three: a tale has two numbers, and a third would be known by not having been told of."""


def _splits_here(item: dict[str, Any], tokenizer: Tokenizer) -> bool:
    """Whether no token straddles the cut: lm-eval scores the tokens after the context's own."""
    alone = tokenizer.encode(item["context"])
    whole = (tokenizer.encode(item["context"] + choice)[: len(alone)] for choice in item["choices"])
    return all(np.array_equal(beginning, alone) for beginning in whole)
