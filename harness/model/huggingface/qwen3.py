"""Qwen3 (Qwen Team 2025, arXiv:2505.09388): Llama with a norm of q and k over each head."""

from __future__ import annotations

from harness.model.huggingface.llama import Llama


class Qwen3(Llama):
    model_type = "qwen3"
    architecture = "Qwen3ForCausalLM"
    qk_norm = "head"
    ffn_biases = False


FAMILY = Qwen3()
