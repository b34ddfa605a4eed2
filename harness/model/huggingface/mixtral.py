"""Mixtral (Jiang et al. 2024, arXiv:2401.04088): Llama with top-k renormalised experts, and perhaps a window."""

from __future__ import annotations

from typing import Any

from harness.model.huggingface.limits import Limits
from harness.model.huggingface.links import Links, stacked
from harness.model.huggingface.llama import Llama
from harness.spec.spec import Choice, choose

EXPERTS = {"gate": "w1", "up": "w3", "down": "w2"}


class Mixtral(Llama):
    model_type = "mixtral"
    architecture = "MixtralForCausalLM"
    attention_biases = ffn_biases = False
    attention_options = ("n_kv_heads", "bias", "window")

    def limit_attention(self, limits: Limits) -> None:
        limits.variant("attention", "mha", "gqa", "mqa", "window", options=self.attention_options)

    def limit_ffn(self, limits: Limits) -> None:
        limits.variant("ffn", "mixtral", "moe", options=("num_experts", "top_k"))

    def config_of_attention(self, model: Any, attention: Any) -> dict[str, Any]:
        return super().config_of_attention(model, attention) | {"sliding_window": attention.window}

    def config_of_ffn(self, ffn: Any) -> dict[str, Any]:
        return {"num_local_experts": ffn.num_experts, "num_experts_per_tok": ffn.top_k}

    def attention_choice(self, config: dict[str, Any]) -> Choice:
        choice, window = super().attention_choice(config), config.get("sliding_window")
        return choice if window is None else Choice("window", choice.options).with_option("window", window)

    def ffn_choice(self, config: dict[str, Any]) -> Choice:
        sizes = {"num_experts": (config.get("num_local_experts", 8), 8), "top_k": (config["num_experts_per_tok"], 2)}
        return choose("mixtral", **{name: value for name, (value, usual) in sizes.items() if value != usual})

    def link_ffn(self, links: Links, ours: str, theirs: str, ffn: Any) -> None:
        links.module(ours + "router", theirs + "block_sparse_moe.gate")
        for a, b in EXPERTS.items():
            experts = [f"{theirs}block_sparse_moe.experts.{i}.{b}.weight" for i in range(ffn.num_experts)]
            links.append(stacked(f"{ours}{a}.weight", experts))


FAMILY = Mixtral()
