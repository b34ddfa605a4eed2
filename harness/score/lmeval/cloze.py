"""The held-out cloze: which of four passages goes on from this one? Made from any corpus's own validation split.

One continuation is the true one, three are the true continuations of other places in the split, so that nothing
but the context tells them apart; guessing scores 25 %. It needs no data beside the corpus and no network, works for
bytes and BPE and for text without spaces, and is the same for every arm of a study. (The form is that of
story-completion tests such as HellaSwag, Zellers et al. 2019, with distractors drawn instead of written.)
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.data.dataset import TokenizedData
from harness.data.tokenizer import Tokenizer
from harness.score.lmeval.offline import documents_source
from variants.errors import UserError

NAME = "cloze"
NUM_CHOICES = 4
FEWEST_ITEMS = 100
"""Items that lengths must give to be used: the standard error is then about 4 %. Assumption."""

MAX_ITEMS = 500
"""The standard error is then about 2 %; 8 s at nano size on one core. Assumption: enough beside the loss."""

MAX_TOKENS = 2_000_000
"""Tokens of the split that are decoded to look for places. Assumption: more hold no better ones."""

SEED = 0
"""Of the choice of places and distractors: part of the task's definition."""

FEWEST_SPACES = 20
"""Characters a space in text that is divided by spaces; Chinese has far fewer. Assumption."""


@dataclass(frozen=True)
class Lengths:
    """Bytes before the cut and after it."""

    context: int
    continuation: int


LENGTHS = (Lengths(80, 32), Lengths(40, 16), Lengths(20, 8), Lengths(10, 4))
"""The first that gives FEWEST_ITEMS is used, else the one that gives most: a corpus of short documents has a cloze too.
The longest fit the default model's 128 bytes. Assumption: 32 bytes are about six words of English."""


@dataclass(frozen=True)
class Place:
    """Where a text is cut: `document` is its index in the split."""

    document: int
    context: str
    continuation: str


def definition(data: TokenizedData, tokenizer: Tokenizer) -> dict[str, Any]:
    """The lm-eval configuration of the task."""
    metric = {"aggregation": "mean", "higher_is_better": True}
    return {
        "task": NAME,
        "custom_dataset": documents_source("test", make_items(data, tokenizer)),
        "output_type": "multiple_choice",
        "test_split": "test",
        "doc_to_text": "context",
        "doc_to_target": "gold",
        "doc_to_choice": "choices",
        "target_delimiter": "",
        "num_fewshot": 0,
        "metric_list": [{"metric": "acc", **metric}, {"metric": "acc_norm", **metric}],
        "metadata": {"version": 1.0},
    }


def make_items(data: TokenizedData, tokenizer: Tokenizer) -> list[dict[str, Any]]:
    """Documents of the task: context, choices, gold (index of the true one), cluster (the validation document).

    Raises:
        UserError: the split has too little text for one item.
    """
    assert tokenizer.sha256 == data.tokenizer_sha256, "another tokenizer made this data"
    rng = random.Random(SEED)
    texts = dict(_texts(data, tokenizer, rng))
    best: list[dict[str, Any]] = []
    for lengths in LENGTHS:
        places = _places(texts, lengths, tokenizer, rng)
        items = [item for place in places if (item := _item(place, places, tokenizer, rng)) is not None]
        if len(items) > len(best):
            best = items
        if len(best) >= FEWEST_ITEMS:
            break
    if not best:
        least = LENGTHS[-1]
        raise UserError(
            f"the cloze task needs at least {NUM_CHOICES} places with {least.context} bytes before and "
            f"{least.continuation} after in the validation split, and {data.name!r} has fewer; give more text, or "
            "name other --tasks"
        )
    return best


def _places(texts: dict[int, str], lengths: Lengths, tokenizer: Tokenizer, rng: random.Random) -> list[Place]:
    """At most MAX_ITEMS places whose continuations neither overlap nor repeat."""
    cuts = [(document, cut) for document, text in texts.items() for cut in _cuts(text, lengths)]
    rng.shuffle(cuts)
    places: list[Place] = []
    taken: set[tuple[int, int]] = set()
    seen: set[str] = set()
    for document, cut in cuts:
        block = cut // lengths.continuation  # a continuation lies in its cut's block of characters and the next
        if taken & {(document, block + i) for i in (-1, 0, 1)}:
            continue
        place = Place(document, _last(texts[document], cut, lengths), _first(texts[document], cut, lengths))
        if place.continuation not in seen and _splits_here(place.context, place.continuation, tokenizer):
            places.append(place)
            taken.add((document, block))
            seen.add(place.continuation)
        if len(places) == MAX_ITEMS:
            break
    return places


def _item(place: Place, places: Sequence[Place], tokenizer: Tokenizer, rng: random.Random) -> dict[str, Any] | None:
    """The place with three continuations of others; None when there are not three that fit."""
    choices = [place.continuation]
    for other in rng.sample(places, min(len(places), 8 * NUM_CHOICES)):
        if other is not place and _splits_here(place.context, other.continuation, tokenizer):
            choices.append(other.continuation)
        if len(choices) == NUM_CHOICES:
            break
    if len(choices) < NUM_CHOICES:
        return None
    rng.shuffle(choices)
    gold = choices.index(place.continuation)
    return {"context": place.context, "choices": choices, "gold": gold, "cluster": str(place.document)}


def _texts(data: TokenizedData, tokenizer: Tokenizer, rng: random.Random) -> Iterator[tuple[int, str]]:
    """Validation documents in a random order, until MAX_TOKENS are decoded."""
    starts = np.asarray(data.document_starts["validation"])
    ends = np.append(starts[1:], len(data.validation))
    order = list(range(len(starts)))
    rng.shuffle(order)
    decoded = 0
    for document in order:
        yield document, tokenizer.decode(data.validation[starts[document] + 1 : ends[document]])
        decoded += int(ends[document] - starts[document])
        if decoded >= MAX_TOKENS:
            return


def _cuts(text: str, lengths: Lengths) -> Iterator[int]:
    """Characters before which the text may be cut: the space before a word, or any place in text without spaces."""
    spaced = len(text) < FEWEST_SPACES * max(1, text.count(" "))
    pattern = r"(?<=\S)(?=\s+\S)" if spaced else r"(?<=\S)(?=\S)"
    for match in re.finditer(pattern, text):
        cut = match.start()
        enough_after = len(text) - cut >= lengths.continuation or _bytes(text[cut:]) >= lengths.continuation
        enough_before = cut >= lengths.context or _bytes(text[:cut]) >= lengths.context
        if enough_before and enough_after:
            yield cut


def _bytes(text: str) -> int:
    return len(text.encode())


def _last(text: str, cut: int, lengths: Lengths) -> str:
    """The last bytes before the cut; a character cut in two is left out."""
    return text[max(0, cut - lengths.context) : cut].encode()[-lengths.context :].decode(errors="ignore")


def _first(text: str, cut: int, lengths: Lengths) -> str:
    return text[cut : cut + lengths.continuation].encode()[: lengths.continuation].decode(errors="ignore")


def _splits_here(context: str, continuation: str, tokenizer: Tokenizer) -> bool:
    """Whether no token straddles the cut: lm-eval scores the tokens after the context's own."""
    alone = tokenizer.encode(context)
    return np.array_equal(tokenizer.encode(context + continuation)[: len(alone)], alone)
