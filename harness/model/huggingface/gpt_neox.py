"""GPT-NeoX (Black et al. 2022, arXiv:2204.06745): LayerNorm, partial RoPE, attention and ffn side by side."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from harness.model.huggingface import activations, rotation
from harness.model.huggingface.limits import Limits, attention_bias
from harness.model.huggingface.links import Links, joined_by_head
from harness.model.huggingface.llama import names_of
from harness.model.transformer import Transformer
from harness.spec.spec import Choice, Spec, choose


class GPTNeoX:
    model_type = "gpt_neox"
    architecture = "GPTNeoXForCausalLM"
    defaults: ClassVar[dict[str, Any]] = {
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        "use_parallel_residual": True,
        "attention_bias": True,
        "rotary_pct": 0.25,
    }

    def obstacles(self, spec: Spec) -> list[str]:
        limits = Limits(spec)
        limits.uniform()
        limits.variant("norm", "layer", options=("eps",))
        limits.variant("activation", *activations.PLAIN)
        limits.variant("position", "rope", options=(*rotation.OPTIONS, "partial"))
        limits.option("position", "layout", "half", default="half")
        limits.variant("ffn", "dense")
        limits.variant("attention", "mha", options=("bias",))
        limits.variant("residual", "pre", "parallel", options=("norms",))
        if spec.residual.variant == "parallel":
            limits.option("residual", "norms", "separate", default="shared")
        limits.model_options(bias=True)
        limits.whole_heads()
        return limits.found

    def config(self, model: Transformer) -> dict[str, Any]:
        spec, position = model.spec, cast("Any", model.position)
        turning = int(spec.d_model // spec.n_heads * position.partial)
        rope = rotation.config(position, turning)
        return {
            "vocab_size": spec.vocab_size,
            "hidden_size": spec.d_model,
            "num_hidden_layers": spec.n_layers,
            "num_attention_heads": spec.n_heads,
            "intermediate_size": spec.d_ff or 4 * spec.d_model,
            "max_position_embeddings": spec.seq_len,
            "hidden_act": activations.plain(spec.activation),
            "layer_norm_eps": cast("Any", model.final_norm).eps,
            "tie_word_embeddings": spec.tied_head,
            "attention_bias": attention_bias(spec),
            "use_parallel_residual": spec.residual.variant == "parallel",
            "rotary_pct": position.partial,
            "rotary_emb_base": rope["rope_theta"],
            "rope_scaling": rope["rope_scaling"],
        }

    def spec(self, config: dict[str, Any]) -> Spec:
        config = self.defaults | config
        eps, partial = float(config["layer_norm_eps"]), self.partial(config)
        others = {} if partial == 1.0 else {"partial": partial}
        return Spec(
            norm=Choice("layer") if eps == 1e-5 else choose("layer", eps=eps),
            activation=activations.plain_choice(config, "hidden_act"),
            position=rotation.choice(config, **others),
            attention=Choice("mha") if config["attention_bias"] else choose("mha", bias=False),
            residual=choose("parallel", norms="separate") if config["use_parallel_residual"] else Choice("pre"),
            n_layers=config["num_hidden_layers"],
            d_model=config["hidden_size"],
            n_heads=config["num_attention_heads"],
            d_ff=config["intermediate_size"],
            seq_len=config["max_position_embeddings"],
            vocab_size=config["vocab_size"],
            tied_head=config["tie_word_embeddings"],
        )

    def partial(self, config: dict[str, Any]) -> float:
        """The share of a head that turns, in old configs and new."""
        return float((config.get("rope_parameters") or {}).get("partial_rotary_factor", config["rotary_pct"]))

    def links(self, model: Transformer) -> Links:
        links, n_heads = Links(names_of(model)), model.spec.n_heads
        links.module("embedding", "gpt_neox.embed_in")
        links.module("final_norm", "gpt_neox.final_layer_norm")
        if not model.spec.tied_head:
            links.module("head", "embed_out")
        for i in range(len(model.layers)):
            ours, theirs = f"layers.{i}.", f"gpt_neox.layers.{i}."
            links.module(ours + "residual.attention_norm", theirs + "input_layernorm")
            links.module(ours + "residual.ffn_norm", theirs + "post_attention_layernorm")
            qkv = [f"{ours}attention.{name}" for name in "qkv"]
            links.modules(qkv, theirs + "attention.query_key_value", lambda a, b: joined_by_head(a, b, n_heads))
            links.module(ours + "attention.out", theirs + "attention.dense")
            links.module(ours + "ffn.up", theirs + "mlp.dense_h_to_4h")
            links.module(ours + "ffn.down", theirs + "mlp.dense_4h_to_h")
        return links


FAMILY = GPTNeoX()
