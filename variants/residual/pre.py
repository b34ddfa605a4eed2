"""Pre-norm residual (Xiong et al. 2020, arXiv:2002.04745; GPT-2)."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from variants.registry import register
from variants.slots import MakeNorm, Shape


@register("residual", "pre")
class Pre(nn.Module):
    """Pre-norm: x <- x + attention(N(x)); x <- x + ffn(N(x)); a norm ends the stack. Xiong 2020, arXiv:2002.04745."""

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
        x = x + attention(self.attention_norm(x))
        return x + ffn(self.ffn_norm(x))
