"""Gemma 2 (Gemma Team 2024, arXiv:2408.00118): four norms a layer, soft caps, every other layer with a window.

Its norms keep their gain less 1, and the embedded tokens are multiplied by sqrt(d_model).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, cast

from harness.model.huggingface.limits import Limits
from harness.model.huggingface.llama import Llama
from harness.model.transformer import Transformer
from harness.spec.spec import Choice, layer_rule

OPTIONS = ("n_kv_heads", "bias", "softcap", "scale", "window")


class Gemma2(Llama):
    model_type = "gemma2"
    architecture = "Gemma2ForCausalLM"
    residual = "sandwich"
    ffn_biases = False
    gains_less_one = True
    activation_key = "hidden_activation"
    norms: ClassVar[dict[str, str]] = {
        "residual.attention_norm": "input_layernorm",
        "residual.attention_post_norm": "post_attention_layernorm",
        "residual.ffn_norm": "pre_feedforward_layernorm",
        "residual.ffn_post_norm": "post_feedforward_layernorm",
    }
    defaults: ClassVar[dict[str, Any]] = Llama.defaults | {
        "tie_word_embeddings": True,
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": 256,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
        "sliding_window": 4096,
    }

    def limit_layers(self, limits: Limits) -> None:
        """Layers may differ in their window alone."""
        spec = limits.spec
        for layer in spec.layer_counts():
            if layer.replace(attention=spec.attention) != spec.replace(layer_rules=()):
                limits.add("layers that differ in more than their attention")
            limits.variant("attention", "mha", "gqa", "mqa", "window", options=OPTIONS, choice=layer.attention)
            if _without_window(layer.attention) != _without_window(spec.attention):
                limits.add("layers whose attention differs in more than its window")
        windows = {
            dict(s.attention.options).get("window") for s in spec.layer_counts() if s.attention.variant == "window"
        }
        if len(windows) > 1:
            limits.add("windows of several lengths")

    def limit_attention(self, limits: Limits) -> None:
        limits.option("attention", "qk_norm", "none", default="none")
        scale = dict(limits.spec.attention.options).get("scale")
        if isinstance(scale, float) and not math.isclose(scale**-2, round(scale**-2), rel_tol=1e-9):
            limits.add(f"attention.scale={scale} (not 1 / sqrt of a whole number)")

    def limit_model(self, limits: Limits) -> None:
        limits.model_options(embedding_scale=math.sqrt(limits.spec.d_model), logit_softcap=limits.spec.logit_softcap)

    def config_of_attention(self, model: Transformer, attention: Any) -> dict[str, Any]:
        windows = [cast("Any", layer).attention.window for layer in model.layers]
        scale = attention.scale or 1 / math.sqrt(attention.d_head)
        return super().config_of_attention(model, attention) | {
            "layer_types": ["full_attention" if w is None else "sliding_attention" for w in windows],
            "sliding_window": next((w for w in windows if w is not None), model.spec.seq_len),
            "attn_logit_softcapping": attention.softcap,
            "final_logit_softcapping": model.spec.logit_softcap,
            "query_pre_attn_scalar": round(scale**-2),
        }

    def attention_choice(self, config: dict[str, Any]) -> Choice:
        choice = super().attention_choice(config)
        if config["attn_logit_softcapping"] is not None:
            choice = choice.with_option("softcap", float(config["attn_logit_softcapping"]))
        size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        scalar = config["query_pre_attn_scalar"]
        return choice if scalar == size else choice.with_option("scale", float(scalar) ** -0.5)

    def spec_options(self, config: dict[str, Any]) -> dict[str, Any]:
        cap = config["final_logit_softcapping"]
        windowed = Choice("window", self.attention_choice(config).options).with_option(
            "window", config["sliding_window"]
        )
        n_layers = config["num_hidden_layers"]
        kinds = config.get("layer_types") or [("sliding_attention", "full_attention")[i % 2] for i in range(n_layers)]
        sliding = [i for i, kind in enumerate(kinds) if kind == "sliding_attention"]
        if sliding == list(range(0, n_layers, 2)):
            rules = (layer_rule(step=2, attention=windowed),)
        else:
            rules = tuple(layer_rule(i, i + 1, attention=windowed) for i in sliding)
        return {
            "embedding_scale": math.sqrt(config["hidden_size"]),
            "logit_softcap": None if cap is None else float(cap),
            "layer_rules": rules,
        }


def _without_window(choice: Choice) -> tuple[object, ...]:
    options = dict(choice.without("window").options)
    # gqa and window name their kv heads alike; mha has as many as queries
    return tuple(sorted(options.items()))


FAMILY = Gemma2()
