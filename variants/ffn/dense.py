"""The dense feed-forward network (Vaswani et al. 2017, arXiv:1706.03762; gated, Shazeer 2020, arXiv:2002.05202)."""

from __future__ import annotations

from typing import cast

from jaxtyping import Float
from torch import Tensor, nn

from variants.registry import register
from variants.slots import Activation, Flops, Linear, MakeActivation, Shape


@register("ffn", "dense")
class Dense(nn.Module):
    """Dense: y = W_down act(W_up x), or gated y = W_down act(W_gate x, W_up x). Shazeer 2020, arXiv:2002.05202."""

    def __init__(self, shape: Shape, make_activation: MakeActivation) -> None:
        super().__init__()
        self.activation = make_activation()
        self.d_ff = shape.d_ff
        gated = cast("Activation", self.activation).num_projections == 2
        self.gate = Linear(shape.d_model, shape.d_ff, bias=shape.bias) if gated else None
        self.up = Linear(shape.d_model, shape.d_ff, bias=shape.bias)
        self.down = Linear(shape.d_ff, shape.d_model, bias=shape.bias, role="output")

    def forward(self, x: Float[Tensor, "batch time d_model"]) -> Float[Tensor, "batch time d_model"]:
        if self.gate is None:
            return self.down(self.activation(self.up(x)))
        return self.down(self.activation(self.gate(x), self.up(x)))

    def flops(self, seq_len: int) -> Flops:
        return Flops(activation=self.d_ff * cast("Activation", self.activation).flops_per_unit)
