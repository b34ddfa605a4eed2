"""Grouped-query attention (Ainslie et al. 2023, arXiv:2305.13245)."""

from __future__ import annotations

from variants.attention._heads import HeadAttention, QKNorm
from variants.registry import register
from variants.slots import MakeNorm, Shape


@register("attention", "gqa")
class GQA(HeadAttention):
    """GQA: softmax(q k^T / sqrt(d_head)) v; query head g uses kv head floor(g n_kv_heads / n_heads). Ainslie 2023.

    arXiv:2305.13245. Neighbouring query heads share a kv head; with n_kv_heads = n_heads it is mha,
    with 1 it is mqa.

    Args:
        n_kv_heads: heads of keys and values; when none the largest divisor of n_heads up to a quarter of it
            (Llama 3's ratio), so that with fewer than 8 heads it is mqa.
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
        n_kv_heads: int | None = None,
        qk_norm: QKNorm = "none",
        bias: bool | None = None,
        softcap: float | None = None,
        scale: float | None = None,
    ) -> None:
        heads = quarter(shape.n_heads) if n_kv_heads is None else n_kv_heads
        super().__init__(shape, make_norm, n_kv_heads=heads, qk_norm=qk_norm, bias=bias, softcap=softcap, scale=scale)


def quarter(n_heads: int) -> int:
    """The largest divisor of n_heads that is at most a quarter of it, at least 1."""
    return max(d for d in range(1, max(n_heads // 4, 1) + 1) if n_heads % d == 0)
