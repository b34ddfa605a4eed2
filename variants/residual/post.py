"""Post-norm residual (Vaswani et al. 2017, arXiv:1706.03762; BERT)."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from variants.registry import register
from variants.slots import MakeNorm, Shape


@register("residual", "post")
class Post(nn.Module):
    """Post-norm: x <- N(x + attention(x)); x <- N(x + ffn(x)); no norm after the stack. Vaswani 2017, arXiv:1706.03762.

    The norm stands on the residual stream itself, so gradients shrink with depth at the start:
    it needs a warm-up, and its own sweep of learning rates (Xiong et al. 2020, arXiv:2002.04745).
    """

    final_norm = False

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
        x = self.attention_norm(x + attention(x))
        return self.ffn_norm(x + ffn(x))
