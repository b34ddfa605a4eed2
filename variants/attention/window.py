"""Sliding-window attention (Child et al. 2019, arXiv:1904.10509; Beltagy et al. 2020, arXiv:2004.05150)."""

from __future__ import annotations

from variants.attention._heads import HeadAttention, QKNorm
from variants.registry import register
from variants.slots import MakeNorm, Shape


@register("attention", "window")
class Window(HeadAttention):
    """Window: softmax(q k^T / sqrt(d_head)) v over the last `window` keys, itself included. Beltagy et al. 2020.

    Key j is visible from query i iff i - window < j <= i. Beltagy et al. 2020, arXiv:2004.05150, one-sided
    as in Mistral (Jiang et al. 2023, arXiv:2310.06825). While decoding, keys outside the window are kept
    but not seen; the kernel computes their scores too (counted in attention_masked).

    Args:
        window: keys a query sees; half of the model's seq_len when none (the ratio of Gemma 2).
        n_kv_heads: heads of keys and values, as in gqa; n_heads when none.
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
        window: int | None = None,
        n_kv_heads: int | None = None,
        qk_norm: QKNorm = "none",
        bias: bool | None = None,
        softcap: float | None = None,
        scale: float | None = None,
    ) -> None:
        super().__init__(
            shape,
            make_norm,
            n_kv_heads=shape.n_heads if n_kv_heads is None else n_kv_heads,
            window=max(shape.seq_len // 2, 1) if window is None else window,
            qk_norm=qk_norm,
            bias=bias,
            softcap=softcap,
            scale=scale,
        )
