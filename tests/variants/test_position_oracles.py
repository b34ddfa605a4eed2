"""RoPE's frequencies and rotations, ALiBi's slopes and T5's buckets against transformers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from variants.position._frequencies import Frequencies
from variants.position.alibi import ALiBi
from variants.position.rope import RoPE
from variants.position.t5 import T5
from variants.slots import Shape

pytest.importorskip("transformers", reason="the oracle is transformers; install the test extra")


def shape(n_heads: int = 4, d_head: int = 8) -> Shape:
    return Shape(n_heads * d_head, 2, n_heads, d_head, 4, 4096, 31, bias=False)


def oracle(kind: str, d_head: int, theta: float, seq_len: int | None = None, **parameters: Any) -> tuple[Any, float]:
    """transformers' (frequencies, attention factor)."""
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    config = LlamaConfig(
        hidden_size=4 * d_head,
        num_attention_heads=4,
        max_position_embeddings=131_072 if kind != "dynamic" else parameters.pop("trained"),
        rope_parameters={"rope_type": kind, "rope_theta": theta, **parameters},
    )
    return ROPE_INIT_FUNCTIONS[kind](config, torch.device("cpu"), seq_len=seq_len)


def mine(d_head: int, **options: Any) -> Frequencies:
    return RoPE(shape(d_head=d_head), **options).frequencies


def check(frequencies: Frequencies, d_head: int, expected: tuple[Any, float]) -> None:
    series = frequencies.series(d_head, torch.float32, torch.device("cpu"))
    torch.testing.assert_close(series, expected[0].float(), rtol=2e-6, atol=0)
    assert frequencies.magnitude == pytest.approx(expected[1], rel=1e-12)


@pytest.mark.parametrize("d_head", [8, 64])
def test_linear_scaling(d_head: int) -> None:
    expected = oracle("linear", d_head, 1e4, factor=4.0)
    check(mine(d_head, scaling="linear", factor=4.0), d_head, expected)


@pytest.mark.parametrize("factor", [1.0, 2.0, 8.0])
def test_ntk_scaling_is_the_dynamic_one_at_that_length(factor: float) -> None:
    """Dynamic NTK with factor 1 at a text s times the trained length has base theta s^(d / (d - 2))."""
    expected = oracle("dynamic", 32, 1e4, seq_len=int(512 * factor), factor=1.0, trained=512)
    check(mine(32, scaling="ntk", factor=factor), 32, expected)


@pytest.mark.parametrize(("d_head", "theta", "length", "factor"), [(64, 1e4, 4096, 40.0), (128, 1e6, 2048, 4.0)])
@pytest.mark.parametrize("attention_factor", [None, 0.7])
def test_yarn_scaling(d_head: int, theta: float, length: int, factor: float, attention_factor: float | None) -> None:
    given: dict[str, Any] = {} if attention_factor is None else {"attention_factor": attention_factor}
    expected = oracle("yarn", d_head, theta, factor=factor, original_max_position_embeddings=length, **given)
    options = {"scaling": "yarn", "theta": theta, "factor": factor, "original_len": length}
    check(mine(d_head, **options, attention_factor=attention_factor), d_head, expected)
    # a short original length puts the ramp's lower end at 0
    expected = oracle("yarn", d_head, theta, factor=factor, original_max_position_embeddings=128)
    check(mine(d_head, **{**options, "original_len": 128}), d_head, expected)


@pytest.mark.parametrize(
    ("d_head", "factor", "length", "high"), [(64, 32.0, 8192, 4.0), (128, 8.0, 8192, 4.0), (64, 2.0, 64, 8.0)]
)
def test_llama3_scaling(d_head: int, factor: float, length: int, high: float) -> None:
    expected = oracle(
        "llama3",
        d_head,
        5e5,
        factor=factor,
        low_freq_factor=1.0,
        high_freq_factor=high,
        original_max_position_embeddings=length,
    )
    options = {"scaling": "llama3", "theta": 5e5, "factor": factor, "original_len": length, "high_freq": high}
    check(mine(d_head, **options), d_head, expected)


def test_yarn_multiplies_cos_and_sin() -> None:
    """The rotation of a whole pass, against LlamaRotaryEmbedding and apply_rotary_pos_emb."""
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

    parameters = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 32}
    config = LlamaConfig(hidden_size=64, num_attention_heads=4, max_position_embeddings=128, rope_parameters=parameters)
    t, q = torch.arange(100), torch.randn(2, 4, 100, 16)
    cos, sin = LlamaRotaryEmbedding(config)(q, t[None])
    rotate = RoPE(shape(4, 16), scaling="yarn", factor=4.0, original_len=32).encode(t, 100).rotate
    assert rotate is not None
    torch.testing.assert_close(rotate(q), apply_rotary_pos_emb(q, q, cos, sin)[0], rtol=0, atol=2e-5)


def test_alibi_slopes_are_blooms() -> None:
    from transformers.models.bloom.modeling_bloom import _get_alibi_slopes

    for n_heads in range(1, 41):
        expected = _get_alibi_slopes(n_heads, torch.device("cpu"))
        torch.testing.assert_close(ALiBi(shape(n_heads)).slopes(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("buckets", "max_distance"), [(32, 128), (32, 20), (8, 100)])
def test_t5_buckets_are_t5s(buckets: int, max_distance: int) -> None:
    from transformers.models.t5.modeling_t5 import T5Attention

    distance = torch.arange(700)
    expected = T5Attention._relative_position_bucket(
        -distance, bidirectional=False, num_buckets=buckets, max_distance=max_distance
    )
    assert torch.equal(T5(shape(), buckets=buckets, max_distance=max_distance).bucket(distance), expected)
