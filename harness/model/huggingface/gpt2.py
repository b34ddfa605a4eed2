"""GPT-2 (Radford et al. 2019): LayerNorm, learned positions, biases; matrices are kept (fan_in, fan_out)."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, cast

from harness.model.huggingface import activations
from harness.model.huggingface.limits import Limits
from harness.model.huggingface.links import Links, joined, transposed
from harness.model.huggingface.llama import names_of
from harness.model.transformer import Transformer
from harness.spec.spec import Choice, Spec, choose


class GPT2:
    model_type = "gpt2"
    architecture = "GPT2LMHeadModel"
    defaults: ClassVar[dict[str, Any]] = {
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "n_inner": None,
        "tie_word_embeddings": True,
    }

    def obstacles(self, spec: Spec) -> list[str]:
        limits = Limits(spec)
        limits.uniform()
        limits.variant("norm", "layer", options=("eps",))
        limits.variant("activation", *activations.PLAIN)
        limits.variant("position", "learned")
        limits.variant("ffn", "dense")
        limits.variant("attention", "mha")
        limits.variant("residual", "pre")
        limits.model_options(bias=True)
        limits.whole_heads()
        return limits.found

    def config(self, model: Transformer) -> dict[str, Any]:
        spec = model.spec
        return {
            "vocab_size": spec.vocab_size,
            "n_positions": spec.seq_len,
            "n_embd": spec.d_model,
            "n_layer": spec.n_layers,
            "n_head": spec.n_heads,
            "n_inner": spec.d_ff or 4 * spec.d_model,
            "activation_function": activations.plain(spec.activation),
            "layer_norm_epsilon": cast("Any", model.final_norm).eps,
            "tie_word_embeddings": spec.tied_head,
        }

    def spec(self, config: dict[str, Any]) -> Spec:
        config = self.defaults | config
        eps = float(config["layer_norm_epsilon"])
        return Spec(
            norm=Choice("layer") if eps == 1e-5 else choose("layer", eps=eps),
            activation=activations.plain_choice(config, "activation_function"),
            n_layers=config["n_layer"],
            d_model=config["n_embd"],
            n_heads=config["n_head"],
            d_ff=config["n_inner"] or 4 * config["n_embd"],
            seq_len=config["n_positions"],
            vocab_size=config["vocab_size"],
            tied_head=config["tie_word_embeddings"],
        )

    def links(self, model: Transformer) -> Links:
        links = Links(names_of(model))
        links.module("embedding", "transformer.wte")
        links.module("position.table", "transformer.wpe")
        links.module("final_norm", "transformer.ln_f")
        if not model.spec.tied_head:
            links.module("head", "lm_head")
        for i in range(len(model.layers)):
            ours, theirs = f"layers.{i}.", f"transformer.h.{i}."
            links.module(ours + "residual.attention_norm", theirs + "ln_1")
            links.module(ours + "residual.ffn_norm", theirs + "ln_2")
            qkv = [f"{ours}attention.{name}" for name in "qkv"]
            links.modules(qkv, theirs + "attn.c_attn", partial(joined, transpose=True))
            links.module(ours + "attention.out", theirs + "attn.c_proj", transposed)
            links.module(ours + "ffn.up", theirs + "mlp.c_fc", transposed)
            links.module(ours + "ffn.down", theirs + "mlp.c_proj", transposed)
        return links


FAMILY = GPT2()
