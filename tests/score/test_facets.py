"""A model that is the grammar has no excess; any other has; every token is scored once, after all of its document."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.data.bpe_tokenizer import train_bpe
from harness.data.byte_tokenizer import ByteTokenizer
from harness.data.corpus import load_corpus
from harness.data.dataset import TokenizedData, prepare
from harness.data.documents import Corpus, Document, make_corpus
from harness.data.microworld import grammar
from harness.data.microworld.draft import Sample
from harness.data.microworld.grammar import facet_names
from harness.model.transformer import Transformer
from harness.score import facets
from harness.score.facets import FacetScores, document_nats, facet_loss, score_documents, summarise, windows
from harness.spec.spec import Choice, Spec
from tests.data.microworld.small import every_document, masses, small_grammar
from variants.errors import UserError

EXACT = 1e-4
"""Nats a document: fp32 logits of a hundred tokens."""


class Oracle(nn.Module):
    """The grammar as a model of bytes: log p(next | before) by summing over all texts it can write."""

    def __init__(self, mass: dict[str, Fraction]) -> None:
        super().__init__()
        self.spec = Spec(seq_len=128)
        self.anchor = nn.Parameter(torch.zeros(()))
        self.mass = mass
        self.next: dict[str, list[str]] = {}
        for text in mass:
            if text:
                self.next.setdefault(text[:-1], []).append(text)

    def forward(self, tokens: Tensor) -> Tensor:
        logits = torch.full((*tokens.shape, 257), -1e4)
        for b, row in enumerate(tokens.tolist()):
            assert row[0] == 256, "a document begins with its end-of-text mark"
            for t in range(len(row)):
                before = bytes(row[1 : t + 1]).decode()
                for text in self.next[before]:
                    logits[b, t, ord(text[-1])] = math.log(self.mass[text] / self.mass[before])
        return logits


def oracle(*grammars: grammar.Grammar) -> Transformer:
    """The mean of the grammars' probabilities of a text."""
    tables = [masses(every_document(g)) for g in grammars]
    texts = {text for table in tables for text in table}
    mass = {text: sum((table.get(text, Fraction(0)) for table in tables), Fraction(0)) / len(tables) for text in texts}
    return cast("Transformer", Oracle(mass))


def drawn(count: int, seed: int = 0) -> list[Sample]:
    drafts = small_grammar().drafts(random.Random(seed))
    return [draft.sample(facet) for facet, draft in itertools.islice(drafts, count)]


def scored(model: Transformer, samples: Sequence[Sample]) -> FacetScores:
    return summarise(score_documents(model, ByteTokenizer(), samples))


def test_the_grammar_itself_has_no_excess() -> None:
    found = scored(oracle(small_grammar()), drawn(200))
    assert {row.facet for row in found.parts} == {*facet_names(), "opening"}
    for row in found.parts:
        assert np.abs(row.document_excess).max() < EXACT
        assert row.excess_per_byte == pytest.approx(0, abs=1e-6)
        assert row.right in (None, 1.0)
        assert row.nats == pytest.approx(row.floor, abs=EXACT * len(row.document_excess))
    assert found.of("copying").floor > 10
    assert found.of("opening").floor == pytest.approx(200 * math.log(6))


def test_a_model_of_two_worlds_pays_for_the_facts_alone() -> None:
    """It holds the other world as likely, in which one color differs: ln 2 until it has read that color."""
    other = small_grammar(values=("red", "red", "cat", "cat"))
    samples = drawn(400)
    found = scored(oracle(small_grammar(), other), samples)
    told = [sample for sample in samples if "tova color" in sample.text]
    assert 10 < len(told) < len(samples)
    for part in ("all", "answer"):
        assert found.of("facts", part).excess == pytest.approx(math.log(2) * len(told), abs=0.01)
        for facet in set(facet_names()) - {"facts"}:
            assert found.of(facet, part).excess == pytest.approx(0, abs=0.01)


def test_a_model_that_knows_nothing() -> None:
    """ln 257 nats a byte, of which the floor is taken; a tie of all tokens counts for none of them."""
    net = small(seq_len=128)
    nn.init.zeros_(net.embedding.weight)
    samples = drawn(100)
    found = scored(net, samples)
    for facet in facet_names():
        mine = [sample for sample in samples if sample.facet == facet]
        row = found.of(facet)
        assert row.num_bytes == sum(int((s.parts > 0).sum()) for s in mine)
        assert row.nats == pytest.approx(math.log(257) * row.num_bytes, rel=1e-6)
        assert row.floor == pytest.approx(sum(s.nats[s.parts > 0].sum() for s in mine))
        excess = [math.log(257) * (s.parts > 0).sum() - s.nats[s.parts > 0].sum() for s in mine]
        assert row.document_excess == pytest.approx(excess, rel=1e-5)
        size = np.array([(s.parts > 0).sum() for s in mine])
        residual = np.array(excess) - row.excess_per_byte * size
        error = math.sqrt((residual**2).sum() / (len(mine) - 1) * len(mine)) / size.sum()
        assert row.standard_error == pytest.approx(error, rel=1e-4)
    whole = sum(found.of(facet).nats for facet in (*facet_names(), "opening"))
    assert whole == pytest.approx(math.log(257) * sum(len(s.text) for s in samples), rel=1e-6)


def small(seq_len: int, position: str = "rope") -> Transformer:
    return Transformer(Spec(n_layers=1, d_model=16, n_heads=2, seq_len=seq_len, position=Choice(position)), seed=0)


@torch.no_grad()
@pytest.mark.parametrize(("position", "context"), [("rope", 128), ("learned", 16), ("none", 7)])
def test_every_token_sees_the_text_that_is_claimed(position: str, context: int) -> None:
    net = small(context, position).eval()
    texts = [np.frombuffer(s.text.encode(), dtype=np.uint8).astype(np.int64) for s in drawn(12)]
    nats, likeliest = document_nats(net, 256, texts)
    for text, found, best in zip(texts, nats, likeliest, strict=True):
        whole = torch.tensor([256, *text.tolist()])
        for begin, first, end in windows(len(text), context):
            log_p = net(whole[None, begin:end])[0].log_softmax(-1)
            for i in range(first, end):
                assert found[i] == pytest.approx(-log_p[i - begin, whole[i + 1]].item(), abs=1e-5)
                assert best[i] == (log_p[i - begin].argmax() == whole[i + 1])


@pytest.mark.parametrize(("num_targets", "context"), [(1, 8), (8, 8), (9, 8), (40, 8), (41, 7), (3, 1)])
def test_windows_hold_every_target_once_and_half_a_context_before_it(num_targets: int, context: int) -> None:
    found = list(windows(num_targets, context))
    assert [t for _, first, end in found for t in range(first, end)] == list(range(num_targets))
    for begin, first, end in found:
        assert 0 <= begin <= first
        assert end - begin <= context
        assert begin == 0 or first - begin >= context // 2


def test_right_needs_every_token_of_an_answer() -> None:
    samples = [s for s in drawn(300) if s.facet == "recall"]
    documents = score_documents(oracle(small_grammar()), ByteTokenizer(), samples)
    assert summarise(documents).of("recall", "answer").num_answers == 2 * len(samples)
    documents[0].likeliest[documents[0].parts == 2] = [False, True]
    assert summarise(documents).of("recall", "answer").num_right == 2 * len(samples) - 1


def test_a_token_has_the_floor_of_its_bytes_and_the_part_of_its_last() -> None:
    class Pairs(ByteTokenizer):
        """Two bytes a token; ids do not matter here."""

        @property
        def token_bytes(self) -> np.ndarray:
            return np.array([2] * 256 + [0])

        def encode(self, text: str) -> np.ndarray:
            return np.zeros(len(text) // 2, dtype=np.uint16)

    sample = next(s for s in drawn(300) if s.facet == "counting" and len(s.text) % 2 == 0)
    (document,) = score_documents(small(seq_len=128), Pairs(), [sample])
    assert document.floor == pytest.approx(sample.nats.reshape(-1, 2).sum(axis=1))
    assert document.parts.tolist() == sample.parts[1::2].tolist() != sample.parts[::2].tolist()
    assert document.num_bytes.sum() == len(sample.text)


# The corpus itself, cut short


@pytest.fixture
def corpus(monkeypatch: pytest.MonkeyPatch) -> Corpus:
    for split, count in (("train", 400), ("validation", 150), ("test", 10)):
        monkeypatch.setitem(grammar.NUM_DOCUMENTS, split, count)
    return load_corpus("microworld")


def test_the_corpus_is_scored_and_repeats(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facets, "MAX_DOCUMENTS", 20)
    data = prepare(corpus, ByteTokenizer(), tmp_path)
    found = facet_loss(small(128), ByteTokenizer(), data)
    assert [(row.facet, row.part) for row in found.parts] == [
        ("opening", "all"),
        *((facet, part) for facet in facet_names() for part in ("all", "answer")),
    ]
    assert all(len(found.of(facet).document_excess) == 20 for facet in facet_names())
    assert all(row.excess_per_byte > 0 for row in found.parts)
    assert found.of("recall", "answer").floor == 0
    again = facet_loss(small(128), ByteTokenizer(), data)
    assert again == found
    document: dict[str, Any] = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["parts"][0]["facet"] == "opening"
    read = {"facet", "part", "excess_per_byte", "floor_per_byte", "right"}  # by harness/analyse/facets.py
    assert all(read <= set(row) for row in document["parts"])
    assert found.scores["facets/recall/answer"] == found.of("recall", "answer").excess_per_byte


def test_other_tokenizers_have_the_same_floors(corpus: Corpus, tmp_path: Path) -> None:
    by_name = {}
    for tokenizer in (ByteTokenizer(), train_bpe(400, corpus.train, tmp_path)):
        data = prepare(corpus, tokenizer, tmp_path)
        net = Transformer(Spec(n_layers=1, d_model=16, n_heads=2, vocab_size=tokenizer.vocab_size), seed=0)
        by_name[tokenizer.name] = facet_loss(net, tokenizer, data)
    ours, theirs = by_name.values()
    for row, other in zip(ours.parts, theirs.parts, strict=True):
        assert other.floor == pytest.approx(row.floor, rel=1e-12)
        assert (other.num_bytes, other.num_answers) == (row.num_bytes, row.num_answers)
    assert len(by_name) == 2


def test_another_corpus_is_one_sentence(tmp_path: Path, corpus: Corpus) -> None:
    texts = [Document("abc\n" * 50, str(i)) for i in range(3)]
    for name in ("mine", "microworld"):
        data = prepare(make_corpus(name, texts, texts), ByteTokenizer(), tmp_path)
        with pytest.raises(UserError, match=f"data here is '{name}'; use --data microworld"):
            facet_loss(small(128), ByteTokenizer(), data)
    changed = make_corpus("microworld", corpus.train, corpus.validation[::-1])
    data: TokenizedData = prepare(changed, ByteTokenizer(), tmp_path)
    with pytest.raises(UserError, match="entropy of the text is known"):
        facet_loss(small(128), ByteTokenizer(), data)
