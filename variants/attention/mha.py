"""Multi-head attention (Vaswani et al. 2017, arXiv:1706.03762)."""

from __future__ import annotations

from variants.attention._heads import HeadAttention, QKNorm
from variants.registry import register
from variants.slots import MakeNorm, Shape


@register("attention", "mha")
class MHA(HeadAttention):
    """MHA: softmax(q k^T / sqrt(d_head)) v in heads, each with its own k and v. Vaswani et al. 2017, arXiv:1706.03762.

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
        super().__init__(
            shape, make_norm, n_kv_heads=shape.n_heads, qk_norm=qk_norm, bias=bias, softcap=softcap, scale=scale
        )
