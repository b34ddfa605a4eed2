"""Parallel residual: attention and ffn read the same input (Wang and Komatsuzaki 2021, GPT-J; GPT-NeoX)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from variants.registry import register
from variants.slots import MakeNorm, Shape


@register("residual", "parallel")
class Parallel(nn.Module):
    """Parallel: x <- x + attention(N(x)) + ffn(N(x)); a norm ends the stack. GPT-J 2021; PaLM, arXiv:2204.02311.

    Args:
        norms: shared, one norm for both (GPT-J, PaLM); separate, one each (GPT-NeoX, arXiv:2204.06745).
    """

    final_norm = True

    def __init__(self, shape: Shape, make_norm: MakeNorm, *, norms: Literal["shared", "separate"] = "shared") -> None:
        super().__init__()
        self.attention_norm = make_norm(shape.d_model)
        self.ffn_norm = make_norm(shape.d_model) if norms == "separate" else None

    def forward(
        self,
        x: Float[Tensor, "batch time d_model"],
        attention: Callable[[Tensor], Tensor],
        ffn: Callable[[Tensor], Tensor],
    ) -> Float[Tensor, "batch time d_model"]:
        h = self.attention_norm(x)
        return x + attention(h) + ffn(h if self.ffn_norm is None else self.ffn_norm(x))
