"""Llama (Touvron et al. 2023, arXiv:2302.13971), and the frame that its descendants fill differently."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from harness.model.huggingface import activations, rotation
from harness.model.huggingface.limits import Limits, attention_bias
from harness.model.huggingface.links import Link, Links, less_one, rows, same
from harness.model.transformer import Transformer
from harness.spec.spec import Choice, Spec, choose


class Llama:
    """Pre-norm RMSNorm, gated ffn, RoPE on half-split heads, grouped queries."""

    model_type = "llama"
    architecture = "LlamaForCausalLM"
    residual = "pre"
    qk_norm = "none"
    attention_options: ClassVar[tuple[str, ...]] = ("n_kv_heads", "bias")
    attention_biases = True  # whether the class has them as an option
    ffn_biases = True
    gains_less_one = False
    activation_key = "hidden_act"
    norms: ClassVar[dict[str, str]] = {
        "residual.attention_norm": "input_layernorm",
        "residual.ffn_norm": "post_attention_layernorm",
    }
    defaults: ClassVar[dict[str, Any]] = {
        "tie_word_embeddings": False,
        "attention_bias": False,
        "mlp_bias": False,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
    }

    # what stands in the way ------------------------------------------------------------------------------------

    def obstacles(self, spec: Spec) -> list[str]:
        limits = Limits(spec)
        limits.variant("norm", "rms", options=("eps",))
        limits.variant("activation", *activations.GATED, options=("approximate",))
        limits.variant("position", "rope", options=rotation.OPTIONS)
        limits.variant("residual", self.residual)
        self.limit_layers(limits)
        self.limit_attention(limits)
        self.limit_ffn(limits)
        self.limit_model(limits)
        if attention_bias(spec) and not self.attention_biases:
            limits.add("biases in attention")
        if spec.bias and not self.ffn_biases:
            limits.add("model.bias=True (in the ffn)")
        return limits.found

    def limit_layers(self, limits: Limits) -> None:
        limits.uniform()

    def limit_attention(self, limits: Limits) -> None:
        limits.variant("attention", "mha", "gqa", "mqa", options=(*self.attention_options, "qk_norm"))
        limits.option("attention", "qk_norm", self.qk_norm, default="none")

    def limit_ffn(self, limits: Limits) -> None:
        limits.variant("ffn", "dense")

    def limit_model(self, limits: Limits) -> None:
        limits.model_options()

    # config ----------------------------------------------------------------------------------------------------

    def config(self, model: Transformer) -> dict[str, Any]:
        spec, layer = model.spec, cast("Any", model.layers[0])
        common = {
            "vocab_size": spec.vocab_size,
            "hidden_size": spec.d_model,
            "num_hidden_layers": spec.n_layers,
            "num_attention_heads": spec.n_heads,
            "intermediate_size": spec.d_ff or 4 * spec.d_model,
            "max_position_embeddings": spec.seq_len,
            "rms_norm_eps": cast("Any", model.final_norm).eps,
            self.activation_key: activations.gate(spec.activation),
            "tie_word_embeddings": spec.tied_head,
        }
        if self.attention_biases:
            common["attention_bias"] = attention_bias(spec)
        if self.ffn_biases:
            common["mlp_bias"] = spec.bias
        return common | self.config_of_attention(model, layer.attention) | self.config_of_ffn(layer.ffn)

    def config_of_attention(self, model: Transformer, attention: Any) -> dict[str, Any]:
        heads = {"num_key_value_heads": attention.n_kv_heads, "head_dim": attention.d_head}
        return heads | rotation.config(model.position, attention.d_head)

    def config_of_ffn(self, ffn: Any) -> dict[str, Any]:
        return {}

    def spec(self, config: dict[str, Any]) -> Spec:
        config = self.defaults | config
        eps = float(config["rms_norm_eps"])
        return Spec(
            norm=Choice("rms") if eps == 1e-6 else choose("rms", eps=eps),
            activation=activations.gate_choice(config, self.activation_key),
            position=rotation.choice(config),
            ffn=self.ffn_choice(config),
            attention=self.attention_choice(config),
            residual=Choice(self.residual),
            n_layers=config["num_hidden_layers"],
            d_model=config["hidden_size"],
            n_heads=config["num_attention_heads"],
            d_ff=config["intermediate_size"],
            seq_len=config["max_position_embeddings"],
            vocab_size=config["vocab_size"],
            tied_head=config["tie_word_embeddings"],
            bias=bool(self.ffn_biases and config["mlp_bias"]),
            d_head=self.d_head(config),
            **self.spec_options(config),
        )

    def d_head(self, config: dict[str, Any]) -> int | None:
        size = config.get("head_dim")
        return None if size is None or size * config["num_attention_heads"] == config["hidden_size"] else size

    def attention_choice(self, config: dict[str, Any]) -> Choice:
        heads, kv_heads = config["num_attention_heads"], config.get("num_key_value_heads")
        choice = Choice("mha") if kv_heads in (None, heads) else choose("gqa", n_kv_heads=kv_heads)
        if self.qk_norm != "none":
            choice = choice.with_option("qk_norm", self.qk_norm)
        biases = bool(self.attention_biases and config["attention_bias"])
        return choice if biases == bool(self.ffn_biases and config["mlp_bias"]) else choice.with_option("bias", biases)

    def ffn_choice(self, config: dict[str, Any]) -> Choice:
        return Choice("dense")

    def spec_options(self, config: dict[str, Any]) -> dict[str, Any]:
        return {}

    # tensors ---------------------------------------------------------------------------------------------------

    def links(self, model: Transformer) -> Links:
        links = Links(names_of(model))
        links.module("embedding", "model.embed_tokens")
        links.module("final_norm", "model.norm", self.gain)
        if not model.spec.tied_head:
            links.module("head", "lm_head")
        for i, layer in enumerate(model.layers):
            ours, theirs = f"layers.{i}.", f"model.layers.{i}."
            for a, b in self.norms.items():
                links.module(ours + a, theirs + b, self.gain)
            self.link_attention(links, ours + "attention.", theirs + "self_attn.", model, cast("Any", layer).attention)
            self.link_ffn(links, ours + "ffn.", theirs, cast("Any", layer).ffn)
        return links

    def gain(self, ours: str, theirs: str) -> Link:
        return less_one(ours, theirs) if self.gains_less_one else same(ours, theirs)

    def link_attention(self, links: Links, ours: str, theirs: str, model: Transformer, attention: Any) -> None:
        position = cast("Any", model.position)
        for name, heads in {"q": attention.n_heads, "k": attention.n_kv_heads}.items():
            size = attention.d_head
            order = rotation.half_order(heads, size, size, interleaved=position.interleaved)
            links.module(ours + name, f"{theirs}{name}_proj", rows(order))
            if self.qk_norm != "none":
                links.module(
                    f"{ours}{name}_norm",
                    f"{theirs}{name}_norm",
                    rows(order if self.qk_norm == "full" else order[:size]),
                )
        links.module(ours + "v", theirs + "v_proj")
        links.module(ours + "out", theirs + "o_proj")

    def link_ffn(self, links: Links, ours: str, theirs: str, ffn: Any) -> None:
        for name in ("gate", "up", "down"):
            links.module(ours + name, f"{theirs}mlp.{name}_proj")


def names_of(model: Transformer) -> list[str]:
    """The persistent tensors of a model, a tied head under its embedding's name."""
    return [n for n in model.state_dict() if not (model.spec.tied_head and n == "head.weight")]


FAMILY = Llama()
