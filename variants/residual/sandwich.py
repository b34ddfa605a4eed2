"""Sandwich norm, before and after each sub-layer (Ding et al. 2021, CogView, arXiv:2105.13290; Gemma 2)."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from variants.registry import register
from variants.slots import MakeNorm, Shape


@register("residual", "sandwich")
class Sandwich(nn.Module):
    """Sandwich: x <- x + N2(F(N1(x))), F attention, then ffn; a norm ends the stack. Ding 2021, arXiv:2105.13290.

    Four norms a layer, as in Gemma 2 (arXiv:2408.00118).
    """

    final_norm = True

    def __init__(self, shape: Shape, make_norm: MakeNorm) -> None:
        super().__init__()
        self.attention_norm = make_norm(shape.d_model)
        self.ffn_norm = make_norm(shape.d_model)
        self.attention_post_norm = make_norm(shape.d_model)
        self.ffn_post_norm = make_norm(shape.d_model)

    def forward(
        self,
        x: Float[Tensor, "batch time d_model"],
        attention: Callable[[Tensor], Tensor],
        ffn: Callable[[Tensor], Tensor],
    ) -> Float[Tensor, "batch time d_model"]:
        x = x + self.attention_post_norm(attention(self.attention_norm(x)))
        return x + self.ffn_post_norm(ffn(self.ffn_norm(x)))
