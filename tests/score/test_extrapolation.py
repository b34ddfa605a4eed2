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
from harness.score.extrapolation import MODES, RATIOS, extrapolation, ratio_and_error, target_blocks, target_nats
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


@torch.no_grad()
def test_at_the_training_length_it_is_plain_perplexity(data: TokenizedData) -> None:
    """The windows without overlap are the very windows of the validation loss."""
    net = model("learned")
    found = extrapolation(net, data)
    starts, _ = target_blocks(len(data.validation) - 1, T0, 4096, "made")
    tokens = torch.tensor(data.validation.astype(int))
    expected = 0.0
    for begin in starts.tolist():
        logp = net(tokens[None, begin : begin + T0]).log_softmax(-1)[0]
        targets = tokens[begin + 1 : begin + T0 + 1].tolist()
        expected -= sum(logp[i, t].item() for i, t in enumerate(targets) if t != data.end_of_text)
    point = found.at(1.0, "non-overlapping")
    assert point.nats_per_token == pytest.approx(expected / sum(found.block_tokens), rel=1e-6)
    assert sum(point.block_nats) == pytest.approx(expected, rel=1e-6)


def test_all_blocks_together_are_the_validation_loss(tmp_path: Path) -> None:
    documents = [Document("abcdefg. " * 16, "a")]  # 145 tokens: nine whole windows
    data = prepare(make_corpus("whole", documents, documents), ByteTokenizer(), tmp_path)
    net = model("learned")
    nats = target_nats(net, data.validation, np.arange(0, 144, T0), T0, "non-overlapping")
    assert nats.sum() == pytest.approx(validation_loss(net, data).documents[:, 0].sum(), rel=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("context", [4, 8, 16, 20, 24, 32])
def test_each_target_sees_the_context_that_is_claimed(context: int, data: TokenizedData) -> None:
    net = model("rope")
    tokens = torch.tensor(data.validation.astype(int))
    starts = np.array([128, 176])
    scored = {mode: target_nats(net, data.validation, starts, context, mode) for mode in MODES}
    stride = min(4, context // 2)
    for row, start in enumerate(starts.tolist()):
        for i in range(T0):
            target = start + i
            begins = {
                "non-overlapping": target // context * context,
                "sliding": start + i // stride * stride + stride - context,
            }
            for mode, begin in begins.items():
                assert 0 <= target - begin < context
                logp = net(tokens[None, begin : target + 1])[0, -1].log_softmax(-1)
                assert scored[mode][row, i] == pytest.approx(-logp[tokens[target + 1]].item(), abs=1e-5)


def test_a_stride_that_does_not_divide_the_window(data: TokenizedData) -> None:
    """18 targets by strides of 4: the last two come in a shorter window with the same context before it."""
    net = model("rope", seq_len=18)
    tokens = torch.tensor(data.validation.astype(int))
    nats = target_nats(net, data.validation, np.array([144]), 18, "sliding")
    assert nats.shape == (1, 18)
    with torch.no_grad():
        logp = net(tokens[None, 144 + 16 - 14 : 144 + 18])[0, -1].log_softmax(-1)
    assert nats[0, 17] == pytest.approx(-logp[tokens[144 + 18]].item(), abs=1e-5)


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


def test_blocks_are_spread_over_the_split_and_over_the_long_windows() -> None:
    starts, longest = target_blocks(1_000_000, 128, 4096, "x")
    assert longest == 1024
    assert len(starts) == 32
    assert np.all(starts % 128 == 0)
    assert starts[0] >= 1024
    assert starts[0] < 100_000 < 900_000 < starts[-1] <= 1_000_000 - 128
    assert len(set((starts // 128 % 8).tolist())) > 4, "they stand at many places of the windows of 8 x 128"
    again, _ = target_blocks(1_000_000, 128, 4096, "x")
    assert np.array_equal(starts, again)
    every, _ = target_blocks(100 * 128, 128, 10**9, "x")
    assert every.tolist() == list(range(8 * 128, 96 * 128, 128)), "all that have 8 windows before and lie in whole ones"


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
    starts = np.arange(found.num_windows) * T0
    nats = target_nats(model("rope"), data.validation, starts, T0, "non-overlapping")
    is_text = (data.token_bytes[data.validation[1:]] > 0)[: nats.size].reshape(-1, T0)
    for t in range(T0):
        column = nats[is_text[:, t], t]
        assert found.nats[t] == pytest.approx(column.mean())
        assert found.standard_error[t] == pytest.approx(column.std(ddof=1) / math.sqrt(len(column)))
    longer = loss_by_position(model("rope"), data, context=4 * T0, max_tokens=3 * 4 * T0)
    assert longer is not None
    assert (longer.context, longer.num_windows) == (64, 3)
    json.dumps(longer.to_json(), allow_nan=False)
