"""The transformers models that ours are compared with: small, and with every option that a published one uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

VOCAB = 61

SIZES = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "pad_token_id": None,  # its embedding would have no gradient
    "attn_implementation": "eager",
    "experts_implementation": "eager",  # the grouped kernel has no fp64
}
GROUPED = {**SIZES, "num_key_value_heads": 2}
DEEPSEEK = {
    **SIZES,
    "num_key_value_heads": 4,
    "moe_intermediate_size": 20,
    "n_routed_experts": 8,
    "num_experts_per_tok": 3,
    "first_k_dense_replace": 1,
    "q_lora_rank": 12,
    "kv_lora_rank": 8,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 6,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
    "rope_theta": 5e5,
}
YARN = {
    "rope_type": "yarn",
    "factor": 4.0,
    "original_max_position_embeddings": 16,
    "beta_fast": 8,
    "beta_slow": 1,
    "mscale": 0.707,
    "mscale_all_dim": 0.707,
    "rope_theta": 1e4,
}

GPT2 = {
    "vocab_size": VOCAB,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
    "attn_implementation": "eager",
}

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {  # name: (class, config class, config)
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", GPT2),
    "gpt2-untied": (
        "GPT2LMHeadModel",
        "GPT2Config",
        {
            **GPT2,
            "n_head": 2,
            "n_inner": 40,
            "tie_word_embeddings": False,
            "activation_function": "relu",
            "layer_norm_epsilon": 1e-3,
        },
    ),
    "llama": ("LlamaForCausalLM", "LlamaConfig", {**GROUPED, "rms_norm_eps": 1e-3}),
    "llama3-rope": ("LlamaForCausalLM", "LlamaConfig", {**GROUPED, "rope_parameters": LLAMA3}),
    "llama-linear-biased": (
        "LlamaForCausalLM",
        "LlamaConfig",
        {
            **SIZES,
            "head_dim": 12,
            "attention_bias": True,
            "mlp_bias": True,
            "hidden_act": "gelu",
            "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4},
        },
    ),
    "llama-attention-bias": (
        "LlamaForCausalLM",
        "LlamaConfig",
        {**SIZES, "attention_bias": True, "tie_word_embeddings": True, "hidden_act": "relu"},
    ),
    "mixtral": ("MixtralForCausalLM", "MixtralConfig", {**GROUPED, "num_local_experts": 5, "num_experts_per_tok": 2}),
    "mixtral-window": (
        "MixtralForCausalLM",
        "MixtralConfig",
        {**SIZES, "num_key_value_heads": 1, "num_local_experts": 3, "num_experts_per_tok": 1, "sliding_window": 7},
    ),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", {**GROUPED, "head_dim": 16, "tie_word_embeddings": True}),
    "gemma2": (
        "Gemma2ForCausalLM",
        "Gemma2Config",
        {**GROUPED, "hidden_size": 64, "head_dim": 16, "sliding_window": 5, "query_pre_attn_scalar": 100},
    ),
    "gemma2-uncapped": (
        "Gemma2ForCausalLM",
        "Gemma2Config",
        {
            **GROUPED,
            "hidden_size": 64,
            "head_dim": 8,
            "sliding_window": 5,
            "query_pre_attn_scalar": 8,
            "attn_logit_softcapping": None,
            "final_logit_softcapping": None,
            "layer_types": ["full_attention", "sliding_attention", "sliding_attention"],
        },
    ),
    "olmo2": ("Olmo2ForCausalLM", "Olmo2Config", {**GROUPED, "rms_norm_eps": 1e-6}),
    "olmoe": ("OlmoeForCausalLM", "OlmoeConfig", {**SIZES, "num_experts": 6, "num_experts_per_tok": 2}),
    "olmoe-renormalised": (
        "OlmoeForCausalLM",
        "OlmoeConfig",
        {**GROUPED, "num_experts": 6, "num_experts_per_tok": 3, "norm_topk_prob": True},
    ),
    "deepseek-v2": (
        "DeepseekV2ForCausalLM",
        "DeepseekV2Config",
        {
            **DEEPSEEK,
            "n_shared_experts": 2,
            "topk_method": "group_limited_greedy",
            "n_group": 4,
            "topk_group": 2,
            "routed_scaling_factor": 16.0,
        },
    ),
    "deepseek-v2-lite": (
        "DeepseekV2ForCausalLM",
        "DeepseekV2Config",
        {
            **DEEPSEEK,
            "q_lora_rank": None,
            "n_shared_experts": 1,
            "topk_method": "greedy",
            "n_group": 1,
            "topk_group": 1,
            "rope_parameters": YARN,
        },
    ),
    "deepseek-v3": (
        "DeepseekV3ForCausalLM",
        "DeepseekV3Config",
        {
            **DEEPSEEK,
            "n_shared_experts": 1,
            "n_group": 4,
            "topk_group": 2,
            "rope_parameters": {**YARN, "mscale": 1.0, "mscale_all_dim": 1.0},
        },
    ),
    "deepseek-v3-half": (
        "DeepseekV3ForCausalLM",
        "DeepseekV3Config",
        {
            **DEEPSEEK,
            "n_shared_experts": 2,
            "n_group": 1,
            "topk_group": 1,
            "rope_interleave": False,
            "first_k_dense_replace": 0,
            "attention_bias": True,
        },
    ),
    "gpt-neox": (
        "GPTNeoXForCausalLM",
        "GPTNeoXConfig",
        {**SIZES, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}},
    ),
    "gpt-neox-serial": (
        "GPTNeoXForCausalLM",
        "GPTNeoXConfig",
        {
            **SIZES,
            "hidden_act": "gelu_new",
            "use_parallel_residual": False,
            "attention_bias": False,
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e3, "partial_rotary_factor": 1.0},
        },
    ),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", CASES)


def draw(name: str) -> Any:
    """A transformers model with every tensor drawn, gains and buffers too."""
    transformers = pytest.importorskip("transformers")
    cls, config_class, options = CASES[name]
    model = getattr(transformers, cls)(getattr(transformers, config_class)(**options)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, tensor in model.state_dict(keep_vars=True).items():
            if tensor.is_floating_point() and "inv_freq" not in key and "embed_scale" not in key:
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * (0.2 if tensor.ndim > 1 else 0.3))
    return model


@pytest.fixture
def architecture(case: str) -> str:
    """The name of the case's class."""
    return CASES[case][0]


@pytest.fixture
def theirs(case: str) -> Callable[[], Any]:
    """Makes the case's model, the same at every call."""
    return lambda: draw(case)
