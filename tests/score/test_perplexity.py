"""Validation loss against models whose loss is known exactly."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from harness.data.dataset import prepare
from harness.data.documents import Document, make_corpus
from harness.data.tokenizer import ByteTokenizer
from harness.model.transformer import Transformer
from harness.score.perplexity import validation_loss
from harness.spec.spec import Spec

TEXTS = ["The cat sat on the mat.", "話說孫悟空", "def f(x):\n    return x + 1\n" * 9, "a"]


def data(tmp_path: Path):
    documents = [Document(text, str(i)) for i, text in enumerate(TEXTS)]
    return prepare(make_corpus("made", documents, documents), ByteTokenizer(), tmp_path)


def model(seq_len: int = 16) -> Transformer:
    return Transformer(Spec(n_layers=1, d_model=16, n_heads=2, seq_len=seq_len), seed=0)


def test_a_uniform_model_scores_ln_vocab(tmp_path: Path) -> None:
    uniform = model()
    torch.nn.init.zeros_(uniform.embedding.weight)
    scores = validation_loss(uniform, data(tmp_path)).scores
    assert scores["nats_per_token"] == pytest.approx(math.log(257), rel=1e-6)
    assert scores["bits_per_byte"] == pytest.approx(math.log2(257), rel=1e-6)
    assert scores["perplexity"] == pytest.approx(257, rel=1e-5)


def test_documents_sum_to_the_loss_written_out(tmp_path: Path) -> None:
    made, net = data(tmp_path), model(seq_len=16)
    loss = validation_loss(net, made)
    stream = torch.tensor(made.validation.astype(int))
    total = 0.0
    for start in range(0, len(stream) - 1, 16):  # one window after another, one token after another
        window = stream[start : start + 17]
        logp = net(window[None, :-1]).log_softmax(-1)[0]
        total -= sum(logp[i, t].item() for i, t in enumerate(window[1:].tolist()) if t != made.end_of_text)
    assert loss.documents[:, 0].sum() == pytest.approx(total, rel=1e-5)
    assert loss.documents[:, 2].tolist() == [len(text.encode()) for text in TEXTS]
    num_bytes = sum(len(text.encode()) for text in TEXTS)
    assert loss.scores["bits_per_byte"] == pytest.approx(total / num_bytes / math.log(2), rel=1e-5)
