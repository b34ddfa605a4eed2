"""Published models as specs, at their published sizes, vocabularies and context lengths.

As a study's --baseline a preset is brought to --size (`harness.spec.sizes.resize`); `harness.cost --preset NAME`
costs it as it is here. Parameter counts are tested against the classes that load the published checkpoints
(tests/spec/test_presets.py). `source` says where the numbers come from, and what is not as published.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.spec.spec import Choice, Spec, choose, layer_rule
from variants.errors import UserError, nearest


@dataclass(frozen=True)
class Preset:
    """A spec and where its numbers come from."""

    spec: Spec
    source: str


def _gpt2(n_layers: int, d_model: int, n_heads: int) -> Spec:
    """The defaults at another size. GPT-2's code has GELU's tanh form, the harness's baseline the exact one."""
    return Spec(n_layers=n_layers, d_model=d_model, n_heads=n_heads, seq_len=1024, vocab_size=50257)


_GPT2 = "; Radford et al. 2019. Exact GELU, not its tanh form (docs/decisions/0402-presets.md)"

# Touvron et al. 2023, arXiv:2302.13971: pre-norm RMSNorm, SwiGLU, RoPE, no biases, untied head
_LLAMA = Spec(norm=Choice("rms"), activation=Choice("swiglu"), position=Choice("rope"), tied_head=False, bias=False)

_LLAMA_31 = _LLAMA.replace(
    norm=choose("rms", eps=1e-5),
    position=choose("rope", theta=500_000.0, scaling="llama3", factor=8.0, original_len=8192),
    attention=choose("gqa", n_kv_heads=8),
    seq_len=131_072,
    vocab_size=128_256,
)

_MINIMIND = _LLAMA.replace(
    norm=choose("rms", eps=1e-5),
    position=choose("rope", theta=1e6, layout="interleaved"),
    attention=choose("gqa", n_kv_heads=2),
    n_heads=8,
    seq_len=8192,
    vocab_size=6400,
    tied_head=True,
)

_MINIMIND_SOURCE = "jingyaogong/minimind at 7da201a: README.md, model/LMConfig.py, model/model.py"

_DEEPSEEK = _LLAMA.replace(
    position=choose("rope", layout="interleaved", scaling="yarn", factor=40.0, original_len=4096, attention_factor=1.0),
    seq_len=163_840,
)


def _mla(mscale_all_dim: float) -> Choice:
    """DeepSeek's MLA. Under YaRN the scores grow by mscale^2, mscale = 0.1 mscale_all_dim ln(factor) + 1, which the
    published code puts in the scale of attention and not in cos and sin (modeling_deepseek.py)."""
    mscale = 0.1 * mscale_all_dim * math.log(40) + 1
    scale = mscale**2 / math.sqrt(128 + 64)
    return choose("mla", kv_rank=512, q_rank=1536, d_nope=128, d_rope=64, d_value=128, scale=scale)


PRESETS: dict[str, Preset] = {
    "gpt2": Preset(_gpt2(12, 768, 12), f"config.json of openai-community/gpt2{_GPT2}"),
    "gpt2-medium": Preset(_gpt2(24, 1024, 16), f"config.json of openai-community/gpt2-medium{_GPT2}"),
    "gpt2-large": Preset(_gpt2(36, 1280, 20), f"config.json of openai-community/gpt2-large{_GPT2}"),
    "gpt2-xl": Preset(_gpt2(48, 1600, 25), f"config.json of openai-community/gpt2-xl{_GPT2}"),
    "gpt3": Preset(
        _gpt2(96, 12288, 96).replace(seq_len=2048),
        "Brown et al. 2020, arXiv:2005.14165, table 2.1 (175B). Every layer attends to the whole text; the paper "
        "alternates dense and locally banded sparse layers",
    ),
    "gpt-neox-20b": Preset(
        Spec(
            residual=choose("parallel", norms="separate"),
            position=choose("rope", partial=0.25),
            activation=Choice("gelu_tanh"),
            n_layers=44,
            d_model=6144,
            n_heads=64,
            seq_len=2048,
            vocab_size=50432,
            tied_head=False,
        ),
        "config.json of EleutherAI/gpt-neox-20b; Black et al. 2022, arXiv:2204.06745",
    ),
    "llama": Preset(_LLAMA, "Touvron et al. 2023, arXiv:2302.13971: the block alone, at the default size"),
    "llama-3.1-8b": Preset(
        _LLAMA_31.replace(n_layers=32, d_model=4096, n_heads=32, d_ff=14336),
        "config.json of meta-llama/Llama-3.1-8B; Grattafiori et al. 2024, arXiv:2407.21783, table 3",
    ),
    "llama-3.1-70b": Preset(
        _LLAMA_31.replace(n_layers=80, d_model=8192, n_heads=64, d_ff=28672),
        "config.json of meta-llama/Llama-3.1-70B; Grattafiori et al. 2024, arXiv:2407.21783, table 3",
    ),
    "minimind2-small": Preset(_MINIMIND.replace(n_layers=8, d_model=512, d_ff=1408), _MINIMIND_SOURCE),
    "minimind2": Preset(_MINIMIND.replace(n_layers=16, d_model=768, d_ff=2048), _MINIMIND_SOURCE),
    "minimind2-moe": Preset(
        _MINIMIND.replace(
            ffn=choose("deepseek", num_experts=4, top_k=2, renormalise=True, balance=0.1),
            n_layers=8,
            d_model=640,
            d_ff=1728,
        ),
        _MINIMIND_SOURCE,
    ),
    "mixtral-8x7b": Preset(
        _LLAMA.replace(
            norm=choose("rms", eps=1e-5),
            position=choose("rope", theta=1e6),
            attention=choose("gqa", n_kv_heads=8),
            ffn=Choice("mixtral"),
            n_layers=32,
            d_model=4096,
            n_heads=32,
            d_ff=14336,
            seq_len=32_768,
            vocab_size=32_000,
        ),
        "config.json of mistralai/Mixtral-8x7B-v0.1; Jiang et al. 2024, arXiv:2401.04088, table 1",
    ),
    "switch-base-64": Preset(
        Spec(
            norm=Choice("rms"),
            activation=Choice("relu"),
            position=Choice("t5"),
            ffn=choose("switch", num_experts=64),
            bias=False,
            n_layers=12,
            d_model=768,
            n_heads=12,
            seq_len=512,
            vocab_size=32_128,
            layer_rules=(layer_rule(step=2, ffn=Choice("dense")),),
        ),
        "config.json of google/switch-base-64; Fedus et al. 2021, arXiv:2101.03961. Its 12-layer stack as a decoder "
        "alone: the original is an encoder and a decoder of 12 layers each, with cross-attention, and T5's attention "
        "does not scale scores by 1/sqrt(d_head)",
    ),
    "glam": Preset(
        Spec(
            norm=Choice("rms"),
            activation=Choice("gelu"),
            position=Choice("t5"),
            ffn=choose("mixtral", num_experts=64),
            bias=False,
            n_layers=64,
            d_model=8192,
            n_heads=128,
            d_head=128,
            d_ff=32_768,
            seq_len=1024,
            vocab_size=256_000,
            layer_rules=(layer_rule(step=2, ffn=Choice("dense"), activation=Choice("geglu")),),
        ),
        "Du et al. 2021, arXiv:2112.06905, section 4 and table 4, GLaM 64B/64E (1.2T total, 96.6B active); weights "
        "unpublished. T5's relative bias stands for Transformer-XL's; RMSNorm and no biases are assumptions",
    ),
    "deepseek-v2": Preset(
        _DEEPSEEK.replace(
            attention=_mla(mscale_all_dim=0.707),
            ffn=choose("deepseek", num_experts=160, n_shared=2, top_k=6, n_group=8, topk_group=3, routed_scaling=16.0),
            n_layers=60,
            d_model=5120,
            n_heads=128,
            d_ff=1536,
            vocab_size=102_400,
            layer_rules=(layer_rule(stop=1, ffn=Choice("dense"), d_ff=12_288),),
        ),
        "config.json of deepseek-ai/DeepSeek-V2; DeepSeek-AI 2024, arXiv:2405.04434, section 3.1.2",
    ),
    "deepseek-v3": Preset(
        _DEEPSEEK.replace(
            attention=_mla(mscale_all_dim=1.0),
            ffn=choose("deepseek_v3", num_experts=256, top_k=8, n_group=8, topk_group=4, routed_scaling=2.5),
            n_layers=61,
            d_model=7168,
            n_heads=128,
            d_ff=2048,
            vocab_size=129_280,
            layer_rules=(layer_rule(stop=3, ffn=Choice("dense"), d_ff=18_432),),
        ),
        "config.json of deepseek-ai/DeepSeek-V3; DeepSeek-AI 2024, arXiv:2412.19437, section 4.2. Without the "
        "multi-token prediction module (14B in the checkpoint) and the router's biases, which are buffers",
    ),
    "gemma-2-2b": Preset(
        _LLAMA.replace(
            activation=choose("geglu", approximate="tanh"),
            attention=choose("gqa", n_kv_heads=4, softcap=50.0),
            residual=Choice("sandwich"),
            n_layers=26,
            d_model=2304,
            n_heads=8,
            d_head=256,
            d_ff=9216,
            seq_len=8192,
            vocab_size=256_000,
            tied_head=True,
            embedding_scale=48.0,  # sqrt(2304)
            logit_softcap=30.0,
            layer_rules=(layer_rule(step=2, attention=choose("window", window=4096, n_kv_heads=4, softcap=50.0)),),
        ),
        "config.json of google/gemma-2-2b; Gemma Team 2024, arXiv:2408.00118, table 1",
    ),
    "qwen3-0.6b": Preset(
        _LLAMA.replace(
            position=choose("rope", theta=1e6),
            attention=choose("gqa", n_kv_heads=8, qk_norm="head"),
            n_layers=28,
            d_model=1024,
            n_heads=16,
            d_head=128,
            d_ff=3072,
            seq_len=40_960,
            vocab_size=151_936,
            tied_head=True,
        ),
        "config.json of Qwen/Qwen3-0.6B; Qwen Team 2025, arXiv:2505.09388, table 1",
    ),
    "olmo2-7b": Preset(
        _LLAMA.replace(
            position=choose("rope", theta=500_000.0),
            attention=choose("mha", qk_norm="full"),
            residual=Choice("reordered"),
            n_layers=32,
            d_model=4096,
            n_heads=32,
            d_ff=11_008,
            seq_len=4096,
            vocab_size=100_352,
        ),
        "config.json of allenai/OLMo-2-1124-7B; OLMo Team 2025, arXiv:2501.00656, table 3",
    ),
}


def preset(name: str) -> Spec:
    """The spec of a preset, at its published size. Raises `UserError` when there is none of that name."""
    if name not in PRESETS:
        raise UserError(f"unknown preset {name!r}{nearest(name, PRESETS)}")
    return PRESETS[name].spec
