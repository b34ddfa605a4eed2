"""Presets have the parameter counts of the published checkpoints, to the last digit.

The second opinion is the transformers class that loads the checkpoint, built without weights.

Every configuration is written out from the `config.json` of the checkpoint on Hugging Face; nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness.plan.ledger import count
from harness.spec.presets import preset

transformers = pytest.importorskip("transformers")


def _gpt2(n_layer: int, n_embd: int, n_head: int) -> Callable[[], Any]:
    return lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=50257,
            n_positions=1024,
            n_layer=n_layer,
            n_embd=n_embd,
            n_head=n_head,
            activation_function="gelu_new",
            layer_norm_epsilon=1e-5,
        )
    )


def _llama(layers: int, hidden: int, heads: int, intermediate: int) -> Callable[[], Any]:
    return lambda: transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=128_256,
            hidden_size=hidden,
            intermediate_size=intermediate,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=8,
            max_position_embeddings=131_072,
            rms_norm_eps=1e-5,
            tie_word_embeddings=False,
        )
    )


def _mixtral() -> Any:
    return transformers.MixtralForCausalLM(
        transformers.MixtralConfig(
            vocab_size=32_000,
            hidden_size=4096,
            intermediate_size=14_336,
            num_hidden_layers=32,
            num_attention_heads=32,
            num_key_value_heads=8,
            num_local_experts=8,
            num_experts_per_tok=2,
            max_position_embeddings=32_768,
            tie_word_embeddings=False,
        )
    )


def _neox() -> Any:
    return transformers.GPTNeoXForCausalLM(
        transformers.GPTNeoXConfig(
            vocab_size=50_432,
            hidden_size=6144,
            num_hidden_layers=44,
            num_attention_heads=64,
            intermediate_size=24_576,
            max_position_embeddings=2048,
            rotary_pct=0.25,
            tie_word_embeddings=False,
        )
    )


def _deepseek_v2() -> Any:
    return transformers.DeepseekV2ForCausalLM(
        transformers.DeepseekV2Config(
            vocab_size=102_400,
            hidden_size=5120,
            intermediate_size=12_288,
            moe_intermediate_size=1536,
            num_hidden_layers=60,
            num_attention_heads=128,
            num_key_value_heads=128,
            n_routed_experts=160,
            n_shared_experts=2,
            num_experts_per_tok=6,
            first_k_dense_replace=1,
            topk_method="group_limited_greedy",
            n_group=8,
            topk_group=3,
            routed_scaling_factor=16.0,
            q_lora_rank=1536,
            kv_lora_rank=512,
            qk_nope_head_dim=128,
            qk_rope_head_dim=64,
            v_head_dim=128,
            tie_word_embeddings=False,
        )
    )


def _deepseek_v3() -> Any:
    return transformers.DeepseekV3ForCausalLM(
        transformers.DeepseekV3Config(
            vocab_size=129_280,
            hidden_size=7168,
            intermediate_size=18_432,
            moe_intermediate_size=2048,
            num_hidden_layers=61,
            num_attention_heads=128,
            num_key_value_heads=128,
            n_routed_experts=256,
            n_shared_experts=1,
            num_experts_per_tok=8,
            first_k_dense_replace=3,
            n_group=8,
            topk_group=4,
            routed_scaling_factor=2.5,
            q_lora_rank=1536,
            kv_lora_rank=512,
            qk_nope_head_dim=128,
            qk_rope_head_dim=64,
            v_head_dim=128,
            tie_word_embeddings=False,
        )
    )


def _gemma2() -> Any:
    return transformers.Gemma2ForCausalLM(
        transformers.Gemma2Config(
            vocab_size=256_000,
            hidden_size=2304,
            intermediate_size=9216,
            num_hidden_layers=26,
            num_attention_heads=8,
            num_key_value_heads=4,
            head_dim=256,
            tie_word_embeddings=True,
        )
    )


def _qwen3() -> Any:
    return transformers.Qwen3ForCausalLM(
        transformers.Qwen3Config(
            vocab_size=151_936,
            hidden_size=1024,
            intermediate_size=3072,
            num_hidden_layers=28,
            num_attention_heads=16,
            num_key_value_heads=8,
            head_dim=128,
            tie_word_embeddings=True,
        )
    )


def _olmo2() -> Any:
    return transformers.Olmo2ForCausalLM(
        transformers.Olmo2Config(
            vocab_size=100_352,
            hidden_size=4096,
            intermediate_size=11_008,
            num_hidden_layers=32,
            num_attention_heads=32,
            num_key_value_heads=32,
            tie_word_embeddings=False,
        )
    )


PUBLISHED: dict[str, Callable[[], Any]] = {
    "gpt2": _gpt2(12, 768, 12),
    "gpt2-medium": _gpt2(24, 1024, 16),
    "gpt2-large": _gpt2(36, 1280, 20),
    "gpt2-xl": _gpt2(48, 1600, 25),
    "gpt-neox-20b": _neox,
    "llama-3.1-8b": _llama(32, 4096, 32, 14_336),
    "llama-3.1-70b": _llama(80, 8192, 64, 28_672),
    "mixtral-8x7b": _mixtral,
    "deepseek-v2": _deepseek_v2,
    "deepseek-v3": _deepseek_v3,
    "gemma-2-2b": _gemma2,
    "qwen3-0.6b": _qwen3,
    "olmo2-7b": _olmo2,
}
"""Name of a preset -> its class, to be called inside `torch.device("meta")`."""


def num_params(name: str) -> int:
    """Trainable parameters of the class that loads the published checkpoint."""
    with torch.device("meta"):
        return sum(p.numel() for p in PUBLISHED[name]().parameters())


COUNTS = {  # parameters of the published checkpoints
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "gpt-neox-20b": 20_554_567_680,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "mixtral-8x7b": 46_702_792_704,
    "deepseek-v2": 235_741_434_880,
    "deepseek-v3": 671_026_404_352,  # without multi-token prediction and the router's bias buffers
    "gemma-2-2b": 2_614_341_888,
    "qwen3-0.6b": 596_049_920,
    "olmo2-7b": 7_298_617_344,
}


@pytest.mark.parametrize("name", COUNTS)
def test_count_is_the_published_one(name: str) -> None:
    assert count(preset(name)).total_params == COUNTS[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_count_is_that_of_the_class_that_loads_the_checkpoint(name: str) -> None:
    assert num_params(name) == COUNTS[name]
