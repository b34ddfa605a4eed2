"""The held-out cloze: the same items every time, of one kind, cut where the tokenizer cuts."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from harness.data.bpe_tokenizer import train_bpe
from harness.data.dataset import TokenizedData, prepare
from harness.data.documents import Corpus, Document, make_corpus
from harness.data.tokenizer import ByteTokenizer
from harness.score.lmeval import cloze
from variants.errors import UserError


def test_items_are_true_continuations_and_repeat(data: TokenizedData, corpus: Corpus) -> None:
    items = cloze.make_items(data, ByteTokenizer())
    assert items == cloze.make_items(data, ByteTokenizer())
    assert len(items) > 100
    texts = [document.text for document in corpus.validation]
    for item in items:
        text = texts[int(item["cluster"])]
        assert item["context"] + item["choices"][item["gold"]] in text
        assert len(set(item["choices"])) == cloze.NUM_CHOICES
        assert all(any(choice in text for text in texts) for choice in item["choices"])
        assert {len(choice) for choice in item["choices"]} == {cloze.LENGTHS[0].continuation}


def test_nothing_but_the_context_tells_the_right_answer(data: TokenizedData) -> None:
    """The right answers are spread over the four places, and each passage is a distractor elsewhere."""
    items = cloze.make_items(data, ByteTokenizer())
    counts = Counter(item["gold"] for item in items)
    assert all(0.15 < counts[i] / len(items) < 0.35 for i in range(4))
    golds = {item["choices"][item["gold"]] for item in items}
    assert all(choice in golds for item in items for choice in item["choices"])


def test_chinese_and_bpe(chinese: Corpus, corpus: Corpus, tmp_path: Path) -> None:
    for text in (chinese, corpus):
        for tokenizer in (ByteTokenizer(), train_bpe(400, text.train, tmp_path)):
            items = cloze.make_items(prepare(text, tokenizer, tmp_path), tokenizer)
            assert len(items) >= 10
            for item in items:
                alone = tokenizer.encode(item["context"])
                for choice in item["choices"]:
                    assert "�" not in choice
                    assert np.array_equal(tokenizer.encode(item["context"] + choice)[: len(alone)], alone)


def test_bytes_and_bpe_agree_on_english(corpus: Corpus, tmp_path: Path) -> None:
    """A cut before a space is a boundary of every tokenizer, so the items depend on the corpus alone."""
    made = [
        cloze.make_items(prepare(corpus, tokenizer, tmp_path), tokenizer)
        for tokenizer in (ByteTokenizer(), train_bpe(400, corpus.train, tmp_path))
    ]
    assert made[0] == made[1]


def test_a_split_without_room_is_one_sentence(tmp_path: Path) -> None:
    corpus = make_corpus("tiny", [Document("abc " * 50, "a")], [Document("abc " * 20, "b")])
    data = prepare(corpus, ByteTokenizer(), tmp_path)
    with pytest.raises(UserError, match=r"cloze task needs at least 4 places .* 'tiny' has fewer"):
        cloze.make_items(data, ByteTokenizer())


def test_short_documents_have_shorter_items(tmp_path: Path) -> None:
    rng = random.Random(0)
    lines = [" ".join("".join(rng.choices("abcdef", k=3)) for _ in range(12)) for _ in range(400)]
    texts = [Document(line, str(i)) for i, line in enumerate(lines)]
    data = prepare(make_corpus("short", texts[:200], texts[200:]), ByteTokenizer(), tmp_path)
    items = cloze.make_items(data, ByteTokenizer())
    assert len(items) >= cloze.FEWEST_ITEMS
    (after,) = {len(choice) for item in items for choice in item["choices"]}
    assert after < cloze.LENGTHS[0].continuation
    assert any(lengths.continuation == after for lengths in cloze.LENGTHS)
