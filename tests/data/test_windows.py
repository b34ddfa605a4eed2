from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.data.byte_tokenizer import ByteTokenizer
from harness.data.dataset import TokenizedData, prepare
from harness.data.documents import Corpus, Document, make_corpus
from harness.data.tokenizer import make_tokenizer
from harness.data.windows import evaluation_batches, per_document


def test_windows_by_hand() -> None:
    batches = list(evaluation_batches(np.arange(10, 18), 3, 1))
    assert [(a.tolist(), b.tolist(), i.tolist()) for a, b, i in batches] == [
        ([[10, 11, 12]], [[11, 12, 13]], [[0, 1, 2]]),
        ([[13, 14, 15]], [[14, 15, 16]], [[3, 4, 5]]),
        ([[16]], [[17]], [[6]]),
    ]


@given(num_tokens=st.integers(0, 80), seq_len=st.integers(1, 20), sequences=st.integers(1, 6))
def test_every_target_is_scored_once_in_order(num_tokens: int, seq_len: int, sequences: int) -> None:
    tokens = np.random.default_rng(0).integers(0, 257, num_tokens).astype(np.uint16)
    tokens.flags.writeable = False
    indices = []
    for inputs, targets, index in evaluation_batches(tokens, seq_len, sequences):
        assert inputs.shape == targets.shape == index.shape
        assert inputs.dtype == targets.dtype == index.dtype == torch.int64
        assert 0 < inputs.shape[1] <= seq_len
        assert inputs.shape[0] <= sequences
        assert np.array_equal(tokens[index.numpy()], inputs)
        assert np.array_equal(tokens[index.numpy() + 1], targets)
        indices += index.flatten().tolist()
    assert indices == list(range(num_tokens - 1))


def by_hand(nats: np.ndarray, data: TokenizedData, split: str) -> list[list[float]]:
    """The sums as one would make them with pencil and paper."""
    rows: list[list[float]] = []
    for position, token in enumerate(data.tokens(split).tolist()):
        if token == data.end_of_text:
            rows.append([0.0, 0.0, 0.0])
        else:
            for column, value in enumerate((nats[position - 1], 1, data.token_bytes[token])):
                rows[-1][column] += float(value)
    return rows


@pytest.mark.parametrize("name", ["bytes", "bpe:280"])
@pytest.mark.parametrize("split", ["train", "validation"])
def test_sums_a_document_equal_those_by_hand(name: str, split: str, corpus: Corpus, tmp_path: Path) -> None:
    data = prepare(corpus, make_tokenizer(name, corpus, tmp_path), tmp_path)
    nats = np.random.default_rng(0).random(len(data.tokens(split)) - 1).astype(np.float32)
    sums = per_document(nats, data, split)
    assert sums == pytest.approx(np.array(by_hand(nats, data, split)))
    assert sums[:, 2].tolist() == [len(document.text.encode()) for document in corpus.documents(split)]


def test_uniform_guessing_of_bytes_is_log2_of_the_vocabulary(corpus: Corpus, tmp_path: Path) -> None:
    data = prepare(corpus, ByteTokenizer(), tmp_path)
    sums = per_document(np.full(len(data.validation) - 1, math.log(257)), data)
    assert sums[:, 0].sum() / (math.log(2) * sums[:, 2].sum()) == pytest.approx(math.log2(257))
    assert sums[:, 1].sum() == data.validation_bytes


def test_end_of_text_costs_nothing_however_dear(tmp_path: Path) -> None:
    validation = [Document("ab", ""), Document("c", "")]
    data = prepare(make_corpus("n", validation, validation), ByteTokenizer(), tmp_path)
    nats = np.array([1.0, 2.0, 1e9, 4.0])  # a, b, end-of-text, c
    assert per_document(nats, data).tolist() == [[3.0, 2.0, 2.0], [4.0, 1.0, 1.0]]
