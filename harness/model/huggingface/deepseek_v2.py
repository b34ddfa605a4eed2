"""DeepSeek-V2 (DeepSeek-AI 2024, arXiv:2405.04434): latent attention, fine-grained and shared experts."""

from __future__ import annotations

import math
from typing import Any, ClassVar, cast

from harness.model.huggingface import rotation
from harness.model.huggingface.limits import Limits
from harness.model.huggingface.links import Links
from harness.model.huggingface.llama import Llama
from harness.model.huggingface.olmoe import link_experts
from harness.model.transformer import Transformer
from harness.spec.spec import Choice, Spec, Value, choose, layer_rule

MLA = ("kv_rank", "q_rank", "d_nope", "d_rope", "d_value", "scale", "bias")


class DeepSeekV2(Llama):
    """The first layers have a dense ffn of their own width; the class's latent norms have an eps of 1e-6."""

    model_type = "deepseek_v2"
    architecture = "DeepseekV2ForCausalLM"
    ffn = "deepseek"
    ffn_options = ("num_experts", "top_k", "n_shared", "routed_scaling", "n_group", "topk_group")
    layouts = ("interleaved",)
    defaults: ClassVar[dict[str, Any]] = Llama.defaults | {
        "topk_method": "greedy",
        "n_group": 1,
        "topk_group": 1,
        "routed_scaling_factor": 1.0,
        "n_shared_experts": 2,
        "first_k_dense_replace": 0,
        "q_lora_rank": 1536,
    }

    def limit_layers(self, limits: Limits) -> None:
        rules = limits.spec.layer_rules
        first = rules == (layer_rule(stop=rules[0].stop, d_ff=rules[0].d_ff, ffn=Choice("dense")),) if rules else True
        if not first or any(rule.d_ff is None or rule.stop is None for rule in rules):
            limits.add("layers that differ otherwise than by a first run of dense ones")

    def limit_attention(self, limits: Limits) -> None:
        limits.variant("attention", "mla", options=MLA)
        if dict(limits.spec.position.options).get("layout", "half") not in self.layouts:
            limits.add("position.layout=half")
        if dict(limits.spec.norm.options).get("eps", 1e-6) != 1e-6:
            limits.add("norm.eps other than 1e-6 (of the latents)")

    def limit_ffn(self, limits: Limits) -> None:
        limits.variant("ffn", self.ffn, options=self.ffn_options)
        if dict(limits.spec.ffn.options).get("n_shared", 1) == 0:
            limits.add("ffn.n_shared=0")
        if limits.spec.bias:
            limits.add("model.bias=True (in the experts)")

    def config_of_attention(self, model: Transformer, attention: Any) -> dict[str, Any]:
        rope = rotation.config(model.position, attention.d_rope)
        _put_scale(rope, attention)
        return rope | {
            "num_key_value_heads": attention.n_heads,
            "q_lora_rank": attention.q_rank,
            "kv_lora_rank": attention.kv_rank,
            "qk_nope_head_dim": attention.d_nope,
            "qk_rope_head_dim": attention.d_rope,
            "v_head_dim": attention.d_value,
        }

    def config(self, model: Transformer) -> dict[str, Any]:
        rules, d_ff = model.spec.layer_rules, model.spec.d_ff or 4 * model.spec.d_model
        dense = {"first_k_dense_replace": rules[0].stop, "intermediate_size": rules[0].d_ff} if rules else {}
        last = cast("Any", model.layers[-1]).ffn
        return (
            super().config(model) | {"first_k_dense_replace": 0, "moe_intermediate_size": d_ff} | dense
            | self.config_of_experts(last)
        )  # fmt: skip

    def config_of_experts(self, ffn: Any) -> dict[str, Any]:
        grouped = ffn.topk_group < ffn.n_group
        return {
            "n_routed_experts": ffn.num_experts,
            "num_experts_per_tok": ffn.top_k,
            "n_shared_experts": ffn.shared.d_ff // ffn.shape.d_ff,
            "routed_scaling_factor": ffn.routed_scaling,
            "n_group": ffn.n_group,
            "topk_group": ffn.topk_group,
            "topk_method": "group_limited_greedy" if grouped else "greedy",
            "norm_topk_prob": False,
            "moe_layer_freq": 1,
        }

    def spec(self, config: dict[str, Any]) -> Spec:
        config = self.defaults | config
        spec = super().spec(config | {"intermediate_size": config["moe_intermediate_size"]})
        first = config["first_k_dense_replace"]
        rules = (layer_rule(stop=first, d_ff=config["intermediate_size"], ffn=Choice("dense")),) if first else ()
        return spec.replace(layer_rules=rules, position=self.position(config))

    def position(self, config: dict[str, Any]) -> Choice:
        return rotation.choice(config, layout="interleaved")

    def d_head(self, config: dict[str, Any]) -> int | None:
        return None

    def attention_choice(self, config: dict[str, Any]) -> Choice:
        names = {"kv_rank": "kv_lora_rank", "q_rank": "q_lora_rank", "d_nope": "qk_nope_head_dim"}
        names |= {"d_rope": "qk_rope_head_dim", "d_value": "v_head_dim"}
        options: dict[str, Value] = {k: config[v] for k, v in names.items() if config[v] is not None}
        scaling = rotation.parameters(config)
        if scaling["rope_type"] == "yarn" and scaling.get("mscale_all_dim"):
            mscale = rotation.magnitude(scaling["factor"], scaling["mscale_all_dim"])
            options["scale"] = mscale**2 / math.sqrt(config["qk_nope_head_dim"] + config["qk_rope_head_dim"])
        if config["attention_bias"]:
            options["bias"] = True
        return choose("mla", **options)

    def ffn_choice(self, config: dict[str, Any]) -> Choice:
        return choose(self.ffn, **self.routing(config))

    def routing(self, config: dict[str, Any]) -> dict[str, Value]:
        """The options of the ffn that are not at their defaults."""
        grouped = config["topk_method"] == "group_limited_greedy"
        options: dict[str, tuple[Value, Value]] = {
            "num_experts": (config["n_routed_experts"], 15),
            "top_k": (config["num_experts_per_tok"], 3),
            "n_shared": (config["n_shared_experts"], 1),
            "routed_scaling": (float(config["routed_scaling_factor"]), 1.0),
            "n_group": (config["n_group"] if grouped else 1, 1),
            "topk_group": (config["topk_group"] if grouped else 1, 1),
        }
        return {name: value for name, (value, usual) in options.items() if value != usual}

    def link_attention(self, links: Links, ours: str, theirs: str, model: Transformer, attention: Any) -> None:
        names = {"q": "q_proj", "q_down": "q_a_proj", "q_norm": "q_a_layernorm", "q_up": "q_b_proj"}
        names |= {"kv_down": "kv_a_proj_with_mqa", "kv_norm": "kv_a_layernorm", "kv_up": "kv_b_proj", "out": "o_proj"}
        for a, b in names.items():
            links.module(ours + a, theirs + b)

    def link_ffn(self, links: Links, ours: str, theirs: str, ffn: Any) -> None:
        if not hasattr(ffn, "router"):
            super().link_ffn(links, ours, theirs, ffn)
            return
        links.module(ours + "router", theirs + "mlp.gate")
        link_experts(links, ours, theirs, ffn)
        for name in ("gate", "up", "down"):
            links.module(f"{ours}shared.{name}", f"{theirs}mlp.shared_experts.{name}_proj")


def _put_scale(rope: dict[str, Any], attention: Any) -> None:
    """The scale of scores as YaRN's mscale_all_dim, the only key that says it; mscale keeps cos and sin as they are."""
    usual = 1 / math.sqrt(attention.d_nope + attention.d_rope)
    if math.isclose(attention.scale, usual, rel_tol=1e-12):
        return
    scaling = rope["rope_scaling"]
    scaling["mscale_all_dim"] = (math.sqrt(attention.scale / usual) - 1) / (0.1 * math.log(scaling["factor"]))


FAMILY = DeepSeekV2()
