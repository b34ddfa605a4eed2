"""OLMoE (Muennighoff et al. 2024, arXiv:2409.02060): Llama with experts and a norm of q and k over all heads."""

from __future__ import annotations

from typing import Any, ClassVar

from harness.model.huggingface.limits import Limits
from harness.model.huggingface.links import Links, stacked
from harness.model.huggingface.llama import Llama
from harness.spec.spec import Choice, choose


class Olmoe(Llama):
    model_type = "olmoe"
    architecture = "OlmoeForCausalLM"
    qk_norm = "full"
    ffn_biases = False
    defaults: ClassVar[dict[str, Any]] = Llama.defaults | {"rms_norm_eps": 1e-5, "norm_topk_prob": False}

    def limit_ffn(self, limits: Limits) -> None:
        limits.variant("ffn", "olmoe", "mixtral", "moe", options=("num_experts", "top_k"))

    def limit_model(self, limits: Limits) -> None:
        super().limit_model(limits)
        limits.whole_heads()

    def config_of_attention(self, model: Any, attention: Any) -> dict[str, Any]:
        renormalised = model.spec.ffn.variant != "olmoe"
        return super().config_of_attention(model, attention) | {"norm_topk_prob": renormalised}

    def config_of_ffn(self, ffn: Any) -> dict[str, Any]:
        return {"num_experts": ffn.num_experts, "num_experts_per_tok": ffn.top_k}

    def ffn_choice(self, config: dict[str, Any]) -> Choice:
        sizes = {"num_experts": (config["num_experts"], 8), "top_k": (config["num_experts_per_tok"], 2)}
        options = {name: value for name, (value, usual) in sizes.items() if value != usual}
        return choose("mixtral" if config["norm_topk_prob"] else "olmoe", **options)

    def link_ffn(self, links: Links, ours: str, theirs: str, ffn: Any) -> None:
        links.module(ours + "router", theirs + "mlp.gate")
        link_experts(links, ours, theirs, ffn)


def link_experts(links: Links, ours: str, theirs: str, ffn: Any) -> None:
    """The routed experts under the names that OLMoE and DeepSeek share."""
    for name in ("gate", "up", "down"):
        experts = [f"{theirs}mlp.experts.{i}.{name}_proj.weight" for i in range(ffn.num_experts)]
        links.append(stacked(f"{ours}{name}.weight", experts))


FAMILY = Olmoe()
