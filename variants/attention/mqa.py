"""Multi-query attention (Shazeer 2019, arXiv:1911.02150)."""

from __future__ import annotations

from variants.attention._heads import HeadAttention, QKNorm
from variants.registry import register
from variants.slots import MakeNorm, Shape


@register("attention", "mqa")
class MQA(HeadAttention):
    """MQA: softmax(q k^T / sqrt(d_head)) v in heads that share one k and one v. Shazeer 2019, arXiv:1911.02150.

    Args:
        qk_norm: none; head, a norm of q and k over d_head (Qwen3); full, over all heads (OLMo 2).
        bias: biases on the four projections; the model's when none.
        softcap: scores s become softcap tanh(s / softcap) (Gemma 2); no cap when none.
        scale: what scores are multiplied by; 1 / sqrt(d_head) when none.
    """

    def __init__(
        self,
        shape: Shape,
        make_norm: MakeNorm,
        *,
        qk_norm: QKNorm = "none",
        bias: bool | None = None,
        softcap: float | None = None,
        scale: float | None = None,
    ) -> None:
        super().__init__(shape, make_norm, n_kv_heads=1, qk_norm=qk_norm, bias=bias, softcap=softcap, scale=scale)
