"""Length extrapolation scores the same targets at every length, and nothing is guessed past a table."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.data.dataset import TokenizedData, prepare
from harness.data.documents import Document, make_corpus
from harness.data.tokenizer import ByteTokenizer
from harness.model.transformer import Transformer
from harness.score.extrapolation import MODES, RATIOS, extrapolation, ratio_and_error, region, target_nats
from harness.score.perplexity import validation_loss
from harness.score.position import loss_by_position
from harness.spec.spec import Choice, Spec
from variants.errors import UserError

T0 = 16


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TokenizedData:
    """Validation text of 12 documents, 700 tokens."""
    rng = random.Random(0)
    texts = ["".join(rng.choices("abcdef. ", k=rng.randint(30, 80))) for _ in range(12)]
    documents = [Document(text, str(i)) for i, text in enumerate(texts)]
    return prepare(make_corpus("made", documents, documents), ByteTokenizer(), tmp_path_factory.mktemp("data"))


def model(position: str, seq_len: int = T0) -> Transformer:
    spec = Spec(n_layers=1, d_model=16, n_heads=2, seq_len=seq_len, position=Choice(position))
    return Transformer(spec, seed=0).eval()


def test_learned_positions_end_with_their_table(data: TokenizedData) -> None:
    found = extrapolation(model("learned"), data)
    for point in found.points:
        if point.ratio <= 1:
            assert point.nats_per_token is not None
            assert point.standard_error is not None
        else:
            assert point.nats_per_token is None
            assert point.reason == "position=learned is defined for 16 positions"
    assert found.growth(2.0) is None
    assert loss_by_position(model("learned"), data, context=T0 + 1) is None


@pytest.mark.parametrize("position", ["rope", "alibi", "none", "sinusoidal"])
def test_others_are_scored_at_every_length(position: str, data: TokenizedData) -> None:
    found = extrapolation(model(position), data)
    assert [(p.mode, p.ratio) for p in found.points] == [(mode, ratio) for mode in MODES for ratio in RATIOS]
    assert all(p.nats_per_token is not None for p in found.points)
    assert {len(p.block_nats) for p in found.points} == {len(found.block_tokens)}
    json.dumps(found.to_json(), allow_nan=False)


def test_at_the_training_length_it_is_plain_perplexity(data: TokenizedData) -> None:
    """The windows without overlap are the very windows of the validation loss, from the 9th on."""
    net = model("learned")
    found = extrapolation(net, data)
    start, count = region(len(data.validation) - 1, T0, 4096, "made")
    tokens = torch.tensor(data.validation.astype(int))
    expected = 0.0
    for begin in range(start, start + count, T0):
        logp = net(tokens[None, begin : begin + T0]).log_softmax(-1)[0]
        targets = tokens[begin + 1 : begin + T0 + 1].tolist()
        expected -= sum(logp[i, t].item() for i, t in enumerate(targets) if t != data.end_of_text)
    point = found.at(1.0, "non-overlapping")
    assert point.nats_per_token == pytest.approx(expected / sum(found.block_tokens), rel=1e-6)
    assert sum(point.block_nats) == pytest.approx(expected, rel=1e-6)
    # all of the split, when that begins at its first window
    whole = (len(data.validation) - 1) // T0 * T0
    nats = target_nats(net, data.validation, 0, whole, T0, "non-overlapping")
    rest = target_nats(net, data.validation, whole, len(data.validation) - 1 - whole, T0, "non-overlapping")
    is_text = data.token_bytes[data.validation[1:]] > 0
    total = np.concatenate([nats, rest])[is_text].sum()
    assert total == pytest.approx(validation_loss(net, data).documents[:, 0].sum(), rel=1e-6)


@torch.no_grad()
def test_each_target_sees_the_context_that_is_claimed(data: TokenizedData) -> None:
    """Sliding by 4 with 16 tokens: the targets of a stride see 13 to 16 tokens."""
    net = model("rope")
    tokens = torch.tensor(data.validation.astype(int))
    nats = target_nats(net, data.validation, 128, 10, 16, "sliding")  # two whole strides and a rest of two
    for i, target in enumerate(range(128, 138)):
        end = min(i // 4 * 4 + 4, 10) - 1 + 128
        begin = 128 + i // 4 * 4 - 12
        logits = net(tokens[None, begin : target + 1])[0, -1]
        assert nats[i] == pytest.approx(-logits.log_softmax(-1)[tokens[target + 1]].item(), abs=1e-5), (i, end)


def test_a_model_without_positions_or_memory_scores_every_length_alike(data: TokenizedData) -> None:
    """Uniform over the vocabulary: the same targets give the same nats, to the last digit."""
    net = model("none")
    torch.nn.init.zeros_(net.embedding.weight)
    found = extrapolation(net, data)
    assert {round(p.nats_per_token or 0.0, 5) for p in found.points} == {round(math.log(257), 5)}
    growth = found.growth(8.0)
    assert growth is not None
    assert growth[0] == pytest.approx(0.0, abs=1e-6)


def test_a_short_split_loses_the_long_contexts_and_says_so(tmp_path: Path) -> None:
    documents = [Document("abcdefg " * 14, "a")]
    data = prepare(make_corpus("short", documents, documents), ByteTokenizer(), tmp_path)  # 113 tokens, 7 windows
    found = extrapolation(model("rope"), data)
    known = {p.ratio for p in found.points if p.nats_per_token is not None}
    assert known == {0.25, 0.5, 1.0, 1.25, 1.5, 2.0}
    assert "too short for a context of 128" in found.at(8.0).reason
    documents = [Document("abcdefg " * 3, "a")]
    data = prepare(make_corpus("tiny", documents, documents), ByteTokenizer(), tmp_path)
    with pytest.raises(UserError, match=r"at least 33 tokens .* 'tiny' has 25"):
        extrapolation(model("rope"), data)


def test_region_is_whole_windows_and_long_enough_for_the_longest_context() -> None:
    assert region(100_000, 128, 4096, "x") == (1024, 4096)
    assert region(100_000, 1024, 4096, "x") == (8192, 8192)
    assert region(16 * 128, 128, 4096, "x") == (1024, 1024)


def test_ratio_and_error() -> None:
    nats, tokens = np.array([10.0, 12.0, 11.0, 15.0]), np.array([5.0, 5.0, 5.0, 5.0])
    value, error = ratio_and_error(nats, tokens)
    assert value == pytest.approx(nats.mean() / 5)
    assert error == pytest.approx((nats / 5).std(ddof=1) / 2)


def test_loss_by_position_averages_to_the_loss(data: TokenizedData) -> None:
    found = loss_by_position(model("rope"), data)
    assert found is not None
    assert len(found.nats) == T0
    assert found.num_windows == (len(data.validation) - 1) // T0
    nats = target_nats(model("rope"), data.validation, 0, found.num_windows * T0, T0, "non-overlapping")
    is_text = (data.token_bytes[data.validation[1:]] > 0)[: len(nats)].reshape(-1, T0)
    for t in range(T0):
        column = nats.reshape(-1, T0)[is_text[:, t], t]
        assert found.nats[t] == pytest.approx(column.mean())
        assert found.standard_error[t] == pytest.approx(column.std(ddof=1) / math.sqrt(len(column)))
    longer = loss_by_position(model("rope"), data, context=4 * T0, max_tokens=3 * 4 * T0)
    assert longer is not None
    assert (longer.context, longer.num_windows) == (64, 3)
    json.dumps(longer.to_json(), allow_nan=False)
