"""Questions from held-out documents: the right answer is the grammar's, and guessing scores exactly one in so many."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data.bpe_tokenizer import train_bpe
from harness.data.byte_tokenizer import ByteTokenizer
from harness.data.documents import Document
from harness.data.microworld.grammar import facet_names, split_drafts
from harness.model.transformer import Transformer
from harness.score.lmeval import microworld, stock
from harness.score.lmeval.run import evaluate
from harness.score.lmeval.tasks import load_tasks
from variants.errors import UserError

CHANCE = {"facts": 4, "recall": 4, "counting": 4, "nesting": 4, "copying": 4, "reference": 2}


@pytest.fixture(scope="module")
def held_out() -> set[str]:
    return {draft.text for _, draft in split_drafts("test")}


def items(facet: str) -> list[dict[str, Any]]:
    return microworld.make_items(facet, ByteTokenizer())


def test_names() -> None:
    assert microworld.names() == ("microworld", *(f"microworld_{facet}" for facet in facet_names()))
    assert set(microworld.WRONG) == set(facet_names())


@pytest.mark.parametrize("facet", CHANCE)
def test_the_right_answer_is_the_grammars_and_only_it(facet: str, held_out: set[str]) -> None:
    found = items(facet)
    assert len(found) == microworld.MAX_ITEMS
    assert found == items(facet)
    beginnings = {text[:end] for text in held_out for end in range(len(text) + 1)}
    for item in found:
        assert len(set(item["choices"])) == len(item["choices"]) == CHANCE[facet]
        right = [item["context"] + choice in beginnings for choice in item["choices"]]
        assert right[item["gold"]]
        if facet not in ("counting", "recall"):  # there a wrong digit can be another document's right one
            assert sum(right) == 1


@pytest.mark.parametrize("facet", CHANCE)
def test_neither_place_nor_length_tells_the_right_answer(facet: str) -> None:
    found = items(facet)
    counts = Counter(item["gold"] for item in found)
    expected = len(found) / CHANCE[facet]
    assert all(abs(counts[i] - expected) < 4 * math.sqrt(expected) for i in range(CHANCE[facet]))
    assert all(len({len(choice) for choice in item["choices"]}) == 1 for item in found)


def test_wrong_answers_come_from_the_document_where_it_has_them() -> None:
    for item in items("recall"):
        told = item["context"].split(";")[0]
        assert all(choice in told for choice in item["choices"])
        key = item["context"][-1]
        assert told[told.index(key, 5) + 1] == item["choices"][item["gold"]]
    for item in items("reference"):
        assert {word[1] for word in item["context"].split()[1:3]} == set(item["choices"])
    for item in items("copying"):
        assert len({tuple(sorted(choice)) for choice in item["choices"]}) == 1
    ranks = Counter(
        sum(int(c) < int(item["choices"][item["gold"]]) for c in item["choices"]) for item in items("counting")
    )
    assert set(ranks) == {0, 1, 2, 3}
    assert min(ranks.values()) > 35, "the right number is the smallest of four as often as any other"


def test_a_model_that_says_nothing_scores_chance(constant: Transformer) -> None:
    scores = evaluate(constant, ByteTokenizer(), None, ("microworld",), limit=40)
    assert set(scores.tasks) == set(microworld.names()[1:])
    assert scores.groups["microworld"].metrics == {}
    shown = {name for name, _ in scores.rows()}
    assert shown == set(scores.tasks), "a row a facet and no mean over them"
    for facet, choices in CHANCE.items():
        acc = scores.tasks[f"microworld_{facet}"].metrics["acc"]
        assert (acc.value, acc.chance, acc.informative) == (1 / choices, 1 / choices, False)


def test_bpe_asks_the_same(tmp_path: Path) -> None:
    """Answers begin where the house's tokenizers cut, so the questions depend on the grammar alone."""
    documents = [Document(draft.text, "") for _, draft in split_drafts("validation")]
    tokenizer = train_bpe(600, documents[:1500], tmp_path)
    for facet in CHANCE:
        found = microworld.make_items(facet, tokenizer)
        assert found == items(facet)
        alone = tokenizer.encode(found[0]["context"])
        assert np.array_equal(tokenizer.encode(found[0]["context"] + found[0]["choices"][0])[: len(alone)], alone)


def test_one_facet_by_name_and_a_wrong_name(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_tasks(("microworld_recall",), None, ByteTokenizer())
    assert list(loaded["tasks"]) == ["microworld_recall"]
    assert loaded["groups"] == {}

    class Index:
        task_index = all_tasks = ("hellaswag",)

    monkeypatch.setattr(stock, "_manager", Index)  # lm-eval's own takes half a minute
    with pytest.raises(UserError, match=r"'microworld_recal'; did you mean 'microworld_recall'\?"):
        load_tasks(("microworld_recal",), None, ByteTokenizer())


def test_a_tokenizer_that_joins_everything_is_one_sentence() -> None:
    class Whole(ByteTokenizer):
        name = "whole"

        def encode(self, text: str) -> np.ndarray:
            return np.array([sum(text.encode())])

    with pytest.raises(UserError, match=r"microworld_facts needs a tokenizer that keeps .* and whole joins them"):
        microworld.make_items("facts", Whole())
