"""OLMo 2 (OLMo Team 2025, arXiv:2501.00656): norms on the outputs of sub-layers, and on q and k over all heads."""

from __future__ import annotations

from typing import Any, ClassVar

from harness.model.huggingface.limits import Limits
from harness.model.huggingface.llama import Llama


class Olmo2(Llama):
    model_type = "olmo2"
    architecture = "Olmo2ForCausalLM"
    residual = "reordered"
    qk_norm = "full"
    ffn_biases = False
    norms: ClassVar[dict[str, str]] = {
        "residual.attention_norm": "post_attention_layernorm",
        "residual.ffn_norm": "post_feedforward_layernorm",
    }
    defaults: ClassVar[dict[str, Any]] = Llama.defaults | {"rms_norm_eps": 1e-5}

    def limit_model(self, limits: Limits) -> None:
        super().limit_model(limits)
        limits.whole_heads()


FAMILY = Olmo2()
