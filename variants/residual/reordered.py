"""Reordered norm: on the output of each sub-layer (OLMo 2, arXiv:2501.00656; Swin v2, arXiv:2111.09883)."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from variants.registry import register
from variants.slots import MakeNorm, Shape


@register("residual", "reordered")
class Reordered(nn.Module):
    """Reordered: x <- x + N(attention(x)); x <- x + N(ffn(x)); a norm ends the stack. OLMo 2 2024, arXiv:2501.00656.

    Sub-layers read the residual stream as it is. OLMo 2 pairs this with attention.qk_norm=full.
    """

    final_norm = True

    def __init__(self, shape: Shape, make_norm: MakeNorm) -> None:
        super().__init__()
        self.attention_norm = make_norm(shape.d_model)
        self.ffn_norm = make_norm(shape.d_model)

    def forward(
        self,
        x: Float[Tensor, "batch time d_model"],
        attention: Callable[[Tensor], Tensor],
        ffn: Callable[[Tensor], Tensor],
    ) -> Float[Tensor, "batch time d_model"]:
        x = x + self.attention_norm(attention(x))
        return x + self.ffn_norm(ffn(x))
