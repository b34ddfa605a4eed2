"""DeepSeek-V3 (DeepSeek-AI 2024, arXiv:2412.19437): V2 with sigmoid scores and a bias that balances the experts."""

from __future__ import annotations

from typing import Any, ClassVar

from harness.model.huggingface import rotation
from harness.model.huggingface.deepseek_v2 import DeepSeekV2
from harness.model.huggingface.limits import Limits
from harness.model.huggingface.links import Links, same
from harness.spec.spec import Choice
from variants.errors import UserError


class DeepSeekV3(DeepSeekV2):
    model_type = "deepseek_v3"
    architecture = "DeepseekV3ForCausalLM"
    ffn = "deepseek_v3"
    layouts = ("interleaved", "half")
    defaults: ClassVar[dict[str, Any]] = DeepSeekV2.defaults | {
        "topk_method": "group_limited_greedy",
        "rope_interleave": True,
        "routed_scaling_factor": 2.5,
        "norm_topk_prob": True,
        "n_shared_experts": 1,
    }

    def limit_ffn(self, limits: Limits) -> None:
        super().limit_ffn(limits)
        options = dict(limits.spec.ffn.options)
        num_experts, n_group = options.get("num_experts", 15), options.get("n_group", 1)
        if isinstance(num_experts, int) and isinstance(n_group, int) and num_experts // n_group < 2:
            limits.add("groups of one expert")

    def config_of_attention(self, model: Any, attention: Any) -> dict[str, Any]:
        return super().config_of_attention(model, attention) | {"rope_interleave": model.position.interleaved}

    def config_of_experts(self, ffn: Any) -> dict[str, Any]:
        return super().config_of_experts(ffn) | {
            "norm_topk_prob": True,
            "topk_method": "noaux_tc",
            "scoring_func": "sigmoid",
            "num_nextn_predict_layers": 0,
        }

    def position(self, config: dict[str, Any]) -> Choice:
        return rotation.choice(config, layout="interleaved") if config["rope_interleave"] else rotation.choice(config)

    def ffn_choice(self, config: dict[str, Any]) -> Choice:
        if not config["norm_topk_prob"]:
            raise UserError("norm_topk_prob=false has no equal in ffn=deepseek_v3, whose weights sum to 1")
        return super().ffn_choice(config | {"topk_method": "group_limited_greedy"})

    def link_ffn(self, links: Links, ours: str, theirs: str, ffn: Any) -> None:
        super().link_ffn(links, ours, theirs, ffn)
        if hasattr(ffn, "router"):
            links.append(same(ours + "selection_bias", theirs + "mlp.gate.e_score_correction_bias"))


FAMILY = DeepSeekV3()
