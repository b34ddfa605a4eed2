"""Whole models against transformers, both directions: the same logits and gradients from the same checkpoint.

transformers computes norms, rotations, routers and softmax in fp32 whatever the model's dtype. For the comparison at
fp64 its modules are made to read `torch.float32` as fp64 (`widened`); their code is otherwise untouched.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from harness.model.huggingface.checkpoint import family_of, load_huggingface, save_huggingface
from harness.model.transformer import Transformer
from harness.spec.presets import preset
from harness.spec.sizes import resize
from harness.spec.spec import Choice, Spec, choose

transformers = pytest.importorskip("transformers")

VOCAB, LENGTH = 61, 24

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


def theirs(name: str) -> Any:
    """A transformers model with every tensor drawn, gains and buffers too."""
    cls, config_class, options = CASES[name]
    model = getattr(transformers, cls)(getattr(transformers, config_class)(**options)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, tensor in model.state_dict(keep_vars=True).items():
            if tensor.is_floating_point() and "inv_freq" not in key and "embed_scale" not in key:
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * (0.2 if tensor.ndim > 1 else 0.3))
    return model


def tokens() -> Tensor:
    return torch.randint(VOCAB, (2, LENGTH), generator=torch.Generator().manual_seed(1))


def close(ours: Tensor, other: Tensor, tolerance: float) -> None:
    """Equal within `tolerance` of the largest entry."""
    scale = max(1.0, other.abs().max().item())
    assert (ours - other).abs().max().item() <= tolerance * scale


def loss_of(logits: Tensor) -> Tensor:
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens()[:, 1:].flatten())


def compare(oracle: Any, ours: Transformer, folder: Path, tolerance: float, gradient_tolerance: float) -> None:
    ours.eval()
    other, mine = oracle(tokens()).logits, ours(tokens())
    close(mine, other, tolerance)
    loss_of(other).backward()
    loss_of(mine).backward()
    links = family_of(ours.spec).links(ours)
    grads = {n: torch.zeros_like(t) if t.grad is None else t.grad for n, t in ours.state_dict(keep_vars=True).items()}
    grads = {n: g.to(mine.dtype) for n, g in grads.items() if n in links.names}
    # what links say of values they say of gradients, less what they say of zero (Gemma's gains)
    zero = links.to_theirs({n: torch.zeros_like(g) for n, g in grads.items()})
    expected = gradients(oracle, folder)
    for name, gradient in links.to_theirs(grads).items():
        close(gradient - zero[name], expected[name], gradient_tolerance)


def gradients(oracle: Any, folder: Path) -> dict[str, Tensor]:
    """The gradients of a transformers model under the names of its checkpoint."""
    with torch.no_grad():
        for tensor in oracle.state_dict(keep_vars=True).values():
            if tensor.is_floating_point():
                tensor.copy_(torch.zeros_like(tensor) if tensor.grad is None else tensor.grad)
    oracle.save_pretrained(folder)
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("name", CASES)
def test_their_checkpoint_read_by_us(name: str, tmp_path: Path) -> None:
    oracle = theirs(name)
    oracle.save_pretrained(tmp_path / "model")
    ours = load_huggingface(tmp_path / "model")
    compare(oracle, ours, tmp_path / "gradients", 1e-5, 1e-4)


@pytest.mark.parametrize("name", CASES)
def test_our_checkpoint_read_by_them(name: str, tmp_path: Path) -> None:
    oracle = theirs(name)
    oracle.save_pretrained(tmp_path / "first")
    ours = load_huggingface(tmp_path / "first")
    family = save_huggingface(ours, tmp_path / "second")
    assert family.architecture == CASES[name][0]
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "second", attn_implementation="eager").eval()
    assert type(again).__name__ == CASES[name][0]
    with torch.no_grad():
        close(again(tokens()).logits, oracle(tokens()).logits, 1e-5)
    assert load_huggingface(tmp_path / "second").spec == ours.spec


class Wide:
    """`torch` with fp64 where the code says fp32."""

    float32 = float = torch.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@pytest.fixture
def widened(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in list(sys.modules.items()):
        ours = not name.startswith(("transformers.models.", "transformers.modeling_", "transformers.masking"))
        if not ours and getattr(module, "torch", None) is torch:
            monkeypatch.setattr(module, "torch", Wide())
    monkeypatch.setattr(Tensor, "float", Tensor.double)


@pytest.mark.parametrize("name", CASES)
def test_fp64(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    theirs(name)  # imports the module that is then widened
    request.getfixturevalue("widened")
    oracle = theirs(name).double()
    oracle.save_pretrained(tmp_path / "model")
    ours = load_huggingface(tmp_path / "model", dtype=torch.float64)
    compare(oracle, ours, tmp_path / "gradients", 1e-10, 1e-9)


EXPORTED = (
    "gpt2", "llama", "llama-3.1-8b", "minimind2", "mixtral-8x7b", "deepseek-v2", "deepseek-v3", "gemma-2-2b",
    "qwen3-0.6b", "olmo2-7b", "gpt-neox-20b",
)  # fmt: skip


@pytest.mark.parametrize("name", EXPORTED)
def test_trained_presets_are_read_by_them(name: str, tmp_path: Path) -> None:
    """A preset at a small size, with the harness's own initial values, as a study would export it."""
    spec = resize(preset(name), "3x64", heads=4, seq_len=LENGTH).replace(vocab_size=VOCAB)
    ours = Transformer(spec, seed=3).eval()
    save_huggingface(ours, tmp_path)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager").eval()
    assert sum(p.numel() for p in again.parameters()) == sum(p.numel() for p in ours.parameters())
    with torch.no_grad():
        close(again(tokens()).logits, ours(tokens()), 1e-5)


def test_interleaved_and_ntk_llama_is_written_as_a_half_split_one(tmp_path: Path) -> None:
    position = choose("rope", layout="interleaved", scaling="ntk", factor=2.0)
    spec = Spec(
        norm=Choice("rms"), activation=Choice("swiglu"), position=position, bias=False, vocab_size=VOCAB, seq_len=LENGTH
    )
    ours = Transformer(spec, seed=0).eval()
    save_huggingface(ours, tmp_path)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager").eval()
    with torch.no_grad():
        close(again(tokens()).logits, ours(tokens()), 1e-5)
