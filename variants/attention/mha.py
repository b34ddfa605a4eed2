"""Multi-head attention (Vaswani et al. 2017, arXiv:1706.03762)."""

from __future__ import annotations

from typing import Literal

from variants.attention._heads import HeadAttention
from variants.registry import register
from variants.slots import MakeNorm, Shape


@register("attention", "mha")
class MHA(HeadAttention):
    """MHA: softmax(q k^T / sqrt(d_head)) v in heads, each with its own k and v. Vaswani et al. 2017, arXiv:1706.03762.

    Args:
        qk_norm: none; head, a norm of q and k over d_head (Qwen3); full, over all heads (OLMo 2).
    """

    def __init__(self, shape: Shape, make_norm: MakeNorm, *, qk_norm: Literal["none", "head", "full"] = "none") -> None:
        super().__init__(shape, make_norm, n_kv_heads=shape.n_heads, qk_norm=qk_norm)
