"""Attention with its position, forward and gradients, against transformers' modules with the same weights.

fp32 to 1e-5 and 1e-4; in fp64 to 1e-10 where the oracle computes in fp64: transformers' RMSNorms cast to fp32
and are replaced by torch's, which they equal; its eager softmax and GPT-J's scores are fp32 always, so their
oracles are fp32 only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.variants.gptj import gptj_positions
from variants import registry
from variants.norm.rms import RMSNorm
from variants.slots import Context, Shape

pytest.importorskip("transformers", reason="the oracle is transformers; install the test extra")

T, D, H, KV, DH = 13, 48, 6, 2, 10  # DH * H is not D
F32, F64 = torch.float32, torch.float64

Rules = dict[str, Callable[[dict[str, Tensor]], Tensor]]
"""For each of our parameters, how to read it from the oracle's (weights and gradients alike)."""


class Case:
    """Ours and an oracle's module with the same weights, and an input."""

    def __init__(self, ours: tuple[str, dict[str, Any]], position: tuple[str, dict[str, Any]], oracle: nn.Module,
                 rules: Rules, dtype: torch.dtype, **sizes: int) -> None:  # fmt: skip
        given = {"d_model": D, "n_layers": 1, "n_heads": H, "d_head": DH, "d_ff": 1, "seq_len": 64, "vocab_size": 9}
        shape = Shape(**{**given, **sizes}, bias=False)
        generator = torch.Generator().manual_seed(0)
        self.oracle, self.rules, self.dtype = oracle.to(dtype), rules, dtype
        with torch.no_grad():
            for p in oracle.parameters():
                p.copy_(torch.randn(p.shape, generator=generator, dtype=F64) / shape.d_model**0.5 + (p.ndim == 1))
        self.module = registry.get("attention", ours[0])(shape, RMSNorm, **ours[1]).to(dtype)
        self.position = registry.get("position", position[0])(shape, **position[1]).to(dtype)
        self.x = 2 * torch.randn(2, T, shape.d_model, generator=generator, dtype=F64).to(dtype)
        self.probe = torch.randn(2, T, shape.d_model, generator=generator, dtype=F64).to(dtype)
        weights = self._read({name: p.detach() for name, p in oracle.named_parameters()})
        own = {name: w for name, w in weights.items() if not name.startswith("position.")}
        self.module.load_state_dict(own)
        if "position.table" in weights:
            self.position.load_state_dict({"table": weights["position.table"]})

    def _read(self, source: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: rule(source) for name, rule in self.rules.items()}

    def check(self, run: Callable[[Tensor], Tensor]) -> None:
        """`run` is the oracle's forward. Outputs, the gradient of the input and that of every weight agree."""
        forward, backward = (1e-5, 1e-4) if self.dtype == F32 else (1e-10, 1e-10)
        mine, theirs = self.x.clone().requires_grad_(), self.x.clone().requires_grad_()
        positions = torch.arange(T)
        y = self.module(mine, Context(positions, T, self.position.encode(positions, T)))
        expected = run(theirs)
        torch.testing.assert_close(y, expected, rtol=0, atol=forward)
        assert y.std() > 0.1, "too small for the tolerance to mean anything"
        (y * self.probe).sum().backward()
        (expected * self.probe).sum().backward()
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=0, atol=backward)
        gradients = self._read({name: _grad(p) for name, p in self.oracle.named_parameters()})
        ours = {
            **dict(self.module.named_parameters()),
            **{f"position.{n}": p for n, p in self.position.named_parameters()},
        }
        assert set(ours) == set(gradients)
        for name, p in ours.items():
            torch.testing.assert_close(
                _grad(p), gradients[name], rtol=backward, atol=backward, msg=lambda m, n=name: n + m
            )


def _grad(p: Tensor) -> Tensor:
    assert p.grad is not None
    return p.grad


def same(**names: str) -> Rules:
    """Parameters that are the oracle's under another name; __ stands for a dot."""
    return {mine.replace("__", "."): lambda source, name=name: source[name] for mine, name in names.items()}


def projections(out: str = "o_proj", **more: str) -> Rules:
    names = {f"{name}__weight": f"{name}_proj.weight" for name in "qkv"}
    return same(**names, out__weight=f"{out}.weight", **more)


def causal(dtype: torch.dtype, window: int | None = None) -> Tensor:
    """transformers' additive mask (1, 1, T, T), built by its own masking_utils."""
    from transformers.masking_utils import causal_mask_function, sliding_window_causal_mask_function

    seen: Any = causal_mask_function if window is None else sliding_window_causal_mask_function(window)
    i, j = torch.arange(T)[:, None], torch.arange(T)
    mask = seen(0, 0, i, j)
    return torch.zeros(T, T, dtype=dtype).masked_fill(~mask, torch.finfo(dtype).min)[None, None]


def cos_sin(size: int, dtype: torch.dtype, theta: float = 1e4) -> tuple[Tensor, Tensor]:
    """What LlamaRotaryEmbedding returns, in the model's own precision."""
    angles = torch.arange(T, dtype=dtype)[:, None] * theta ** (-torch.arange(0, size, 2, dtype=dtype) / size)
    angles = torch.cat((angles, angles), dim=-1)[None]
    return angles.cos(), angles.sin()


def config_of(name: str, implementation: str = "sdpa", **values: Any) -> Any:
    import transformers

    sizes = {
        "hidden_size": D,
        "num_attention_heads": H,
        "num_key_value_heads": KV,
        "head_dim": DH,
        "num_hidden_layers": 1,
    }
    config = getattr(transformers, name)(**{**sizes, **values})
    config._attn_implementation = implementation
    return config


@pytest.mark.parametrize("dtype", [F32, F64])
def test_gqa_with_rope_is_llamas(dtype: torch.dtype) -> None:
    from transformers.models.llama.modeling_llama import LlamaAttention

    case = Case(
        ("gqa", {"n_kv_heads": KV}), ("rope", {}), LlamaAttention(config_of("LlamaConfig"), 0), projections(), dtype
    )
    case.check(lambda x: case.oracle(x, cos_sin(DH, dtype), causal(dtype))[0])


@pytest.mark.parametrize("dtype", [F32, F64])
def test_biases_are_llamas(dtype: torch.dtype) -> None:
    from transformers.models.llama.modeling_llama import LlamaAttention

    oracle = LlamaAttention(config_of("LlamaConfig", attention_bias=True, num_key_value_heads=1), 0)
    names = same(q__bias="q_proj.bias", k__bias="k_proj.bias", v__bias="v_proj.bias", out__bias="o_proj.bias")
    case = Case(("mqa", {"bias": True}), ("rope", {"theta": 500.0}), oracle, {**projections(), **names}, dtype)
    case.check(lambda x: case.oracle(x, cos_sin(DH, dtype, 500.0), causal(dtype))[0])


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("window", [1, 4, 12, 13])
def test_window_is_mistrals(dtype: torch.dtype, window: int) -> None:
    """masking_utils: kv > q - window, that is exactly `window` keys, the query's own included."""
    from transformers.models.mistral.modeling_mistral import MistralAttention

    oracle = MistralAttention(config_of("MistralConfig", sliding_window=window), 0)
    case = Case(("window", {"window": window, "n_kv_heads": KV}), ("rope", {}), oracle, projections(), dtype)
    case.check(lambda x: case.oracle(x, cos_sin(DH, dtype), causal(dtype, window))[0])


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("kind", ["head", "full"])
def test_qk_norm_is_qwen3s_and_olmo2s(dtype: torch.dtype, kind: str) -> None:
    from transformers.models.olmo2.modeling_olmo2 import Olmo2Attention
    from transformers.models.qwen3.modeling_qwen3 import Qwen3Attention

    build, name = (Qwen3Attention, "Qwen3Config") if kind == "head" else (Olmo2Attention, "Olmo2Config")
    oracle: Any = build(config_of(name, rms_norm_eps=1e-6), 0)
    if dtype == F64:
        oracle.q_norm = nn.RMSNorm(oracle.q_norm.weight.shape[0], eps=1e-6)
        oracle.k_norm = nn.RMSNorm(oracle.k_norm.weight.shape[0], eps=1e-6)
    rules = projections(q_norm__weight="q_norm.weight", k_norm__weight="k_norm.weight")
    case = Case(("gqa", {"n_kv_heads": KV, "qk_norm": kind}), ("rope", {}), oracle, rules, dtype)
    case.check(lambda x: case.oracle(x, cos_sin(DH, dtype), causal(dtype))[0])


@pytest.mark.parametrize("window", [None, 5])
def test_softcap_and_scale_are_gemma2s(window: int | None) -> None:
    from transformers.models.gemma2.modeling_gemma2 import Gemma2Attention

    config = config_of("Gemma2Config", "eager", attn_logit_softcapping=1.5, query_pre_attn_scalar=7)
    options = {"n_kv_heads": KV, "softcap": 1.5, "scale": 7**-0.5}
    ours = ("gqa", options) if window is None else ("window", {**options, "window": window})
    case = Case(ours, ("rope", {}), Gemma2Attention(config, 0), projections(), F32)
    case.check(lambda x: case.oracle(x, cos_sin(DH, F32), causal(F32, window))[0])


def fused(kind: str, part: int, heads: int) -> Callable[[dict[str, Tensor]], Tensor]:
    """Row block `part` (q, k, v) of every head of a fused query_key_value."""
    return lambda source: source[f"query_key_value.{kind}"].unflatten(0, (heads, 3, -1))[:, part].flatten(0, 1)


def fused_rules(heads: int) -> Rules:
    rules = {f"{'qkv'[i]}.{kind}": fused(kind, i, heads) for i in range(3) for kind in ("weight", "bias")}
    return {**rules, **same(out__weight="dense.weight", out__bias="dense.bias")}


@pytest.mark.parametrize("dtype", [F32, F64])
def test_partial_rope_is_gpt_neoxs(dtype: torch.dtype) -> None:
    from transformers.models.gpt_neox.modeling_gpt_neox import GPTNeoXAttention

    config = config_of(
        "GPTNeoXConfig",
        num_attention_heads=3,
        rope_parameters={"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.25},
    )
    oracle, ours = GPTNeoXAttention(config, 0), ("mha", {"bias": True})
    case = Case(ours, ("rope", {"partial": 0.25}), oracle, fused_rules(3), dtype, n_heads=3, d_head=16)
    case.check(lambda x: case.oracle(x, causal(dtype), position_embeddings=cos_sin(4, dtype))[0])


@pytest.mark.parametrize("turning", [16, 4])
def test_interleaved_rope_is_gpt_js(turning: int) -> None:
    import transformers
    from transformers.models.gptj.modeling_gptj import GPTJAttention

    config = transformers.GPTJConfig(n_embd=D, n_head=3, n_layer=1, rotary_dim=turning, n_positions=64)
    position = ("rope", {"layout": "interleaved", "partial": turning / 16})
    case = Case(("mha", {}), position, GPTJAttention(config, 0), projections("out_proj"), F32, n_heads=3, d_head=16)
    rows = torch.arange(T)[None].expand(2, -1)
    places = gptj_positions(config, rows, F32)
    case.check(lambda x: case.oracle(x, attention_mask=causal(F32), **places)[0])


@pytest.mark.parametrize("heads", [4, 6])
def test_alibi_is_blooms(heads: int) -> None:
    """Bloom adds m_h j in place of -m_h (i - j): the same after the softmax."""
    import transformers
    from transformers.models.bloom.modeling_bloom import BloomAttention, build_alibi_tensor

    config = transformers.BloomConfig(hidden_size=D, n_head=heads, hidden_dropout=0.0, attention_dropout=0.0)
    d_head = D // heads
    case = Case(("mha", {"bias": True}), ("alibi", {}), BloomAttention(config, 0), fused_rules(heads), F32,
                n_heads=heads, d_head=d_head)  # fmt: skip
    alibi = build_alibi_tensor(torch.ones(2, T), heads, F32)
    case.check(lambda x: case.oracle(x, torch.zeros_like(x), alibi, causal(F32))[0])


@pytest.mark.parametrize("dtype", [F32, F64])
def test_t5_bias_is_t5s(dtype: torch.dtype) -> None:
    """T5 does not scale its scores; ours is told to do likewise."""
    import transformers
    from transformers.models.t5.modeling_t5 import T5Attention

    config = transformers.T5Config(d_model=D, d_kv=DH, num_heads=H, dropout_rate=0.0, is_decoder=True)
    config._attn_implementation = "eager"
    oracle = T5Attention(config, has_relative_attention_bias=True, layer_idx=0)
    names = {"q__weight": "q.weight", "k__weight": "k.weight", "v__weight": "v.weight", "out__weight": "o.weight"}
    rules = same(**names, position__table="relative_attention_bias.weight")
    case = Case(("mha", {"scale": 1.0}), ("t5", {}), oracle, rules, dtype)
    case.check(lambda x: case.oracle(x, mask=causal(dtype))[0])


MLA = {"kv_rank": 10, "d_nope": 8, "d_rope": 6, "d_value": 7}


def mla_oracle(config_name: str, build: Any, q_rank: int | None, bias: bool, **values: Any) -> tuple[nn.Module, Rules]:
    config = config_of(
        config_name, q_lora_rank=q_rank, kv_lora_rank=10, qk_nope_head_dim=8, qk_rope_head_dim=6, v_head_dim=7,
        num_key_value_heads=H, attention_bias=bias, **values,
    )  # fmt: skip
    names = {"kv_down": "kv_a_proj_with_mqa", "kv_norm": "kv_a_layernorm", "kv_up": "kv_b_proj", "out": "o_proj"}
    queries = {"q_down": "q_a_proj", "q_norm": "q_a_layernorm", "q_up": "q_b_proj"}
    names |= {"q": "q_proj"} if q_rank is None else queries
    rules = same(**{f"{mine}__weight": f"{theirs}.weight" for mine, theirs in names.items()})
    with_bias = [n for n in ("kv_down", "out", "q_down") if bias and n in names]
    return build(config, 0), {**rules, **same(**{f"{n}__bias": f"{names[n]}.bias" for n in with_bias})}


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize(("q_rank", "interleaved", "bias"), [(11, True, False), (None, True, True), (11, False, True)])
def test_mla_is_deepseek_v3s(q_rank: int | None, interleaved: bool, bias: bool, dtype: torch.dtype) -> None:
    from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3Attention

    oracle, rules = mla_oracle("DeepseekV3Config", DeepseekV3Attention, q_rank, bias, rope_interleave=interleaved)
    if dtype == F64:
        oracle.kv_a_layernorm = nn.RMSNorm(10, eps=1e-6)
        if q_rank is not None:
            oracle.q_a_layernorm = nn.RMSNorm(q_rank, eps=1e-6)
    layout = {"layout": "interleaved" if interleaved else "half"}
    case = Case(("mla", {**MLA, "q_rank": q_rank, "bias": bias}), ("rope", layout), oracle, rules, dtype)
    case.check(lambda x: case.oracle(x, cos_sin(6, dtype), causal(dtype))[0])


def test_mla_is_deepseek_v2s() -> None:
    from transformers.models.deepseek_v2.modeling_deepseek_v2 import DeepseekV2Attention

    oracle, rules = mla_oracle("DeepseekV2Config", DeepseekV2Attention, 11, False)
    case = Case(("mla", {**MLA, "q_rank": 11}), ("rope", {"layout": "interleaved"}), oracle, rules, F32)
    cos, sin = (part[..., :3] for part in cos_sin(6, F32))
    turns = torch.complex(cos, sin)
    case.check(lambda x: case.oracle(x, causal(F32), position_embeddings=turns)[0])
