"""MixFFN, made causal: a depthwise convolution inside the FFN (Xie et al. 2021, SegFormer, arXiv:2105.15203)."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from variants.errors import UserError
from variants.registry import register
from variants.slots import Activation, Flops, Linear, MakeActivation, Role, Shape, State


class CausalConv(nn.Module):
    """c_t = sum_j kernel_j * u_{t-j} + bias, one kernel a channel, zeros before the text.

    `weight` (kernel, channels) starts at the identity: 1 for the present token, 0 for the past.
    """

    role: Role = "constant"

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        weight = torch.zeros(kernel, channels)
        weight[0] = 1.0
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, u: Float[Tensor, "batch time channels"], past: Tensor | None = None) -> Tensor:
        """`past` (batch, kernel-1, channels) holds the inputs before the first; zeros when None."""
        reach, time = len(self.weight) - 1, u.shape[1]
        padded = F.pad(u, (0, 0, reach, 0)) if past is None else torch.cat((past, u), dim=1)
        c = torch.addcmul(self.bias, self.weight[0], u)
        for j in range(1, reach + 1):
            c = torch.addcmul(c, self.weight[j], padded[:, reach - j : reach - j + time])
        return c

    def flops(self, seq_len: int) -> Flops:
        return Flops(conv=2.0 * self.weight.numel())


@register("ffn", "mixffn")
class MixFFN(nn.Module):
    """MixFFN: y = W_down act(conv(W_up x)), conv causal and depthwise, starting at the identity (the dense FFN).

    The causal form of SegFormer's Mix-FFN (Xie et al. 2021, arXiv:2105.15203), whose convolution
    is two-dimensional and looks both ways. A gated activation convolves its up branch.

    Args:
        kernel: tokens the convolution sees, the present one included.
    """

    def __init__(self, shape: Shape, make_activation: MakeActivation, *, kernel: int = 3) -> None:
        super().__init__()
        if kernel < 1:
            raise UserError(f"ffn.kernel must be at least 1 token, got {kernel}")
        self.activation = make_activation()
        self.d_ff, self.kernel = shape.d_ff, kernel
        gated = cast("Activation", self.activation).num_projections == 2
        self.gate = Linear(shape.d_model, shape.d_ff, bias=shape.bias) if gated else None
        self.up = Linear(shape.d_model, shape.d_ff, bias=shape.bias)
        self.conv = CausalConv(shape.d_ff, kernel)
        self.down = Linear(shape.d_ff, shape.d_model, bias=shape.bias, role="output")

    def forward(
        self, x: Float[Tensor, "batch time d_model"], state: State | None = None
    ) -> Float[Tensor, "batch time d_model"]:
        u = self.up(x)
        c = self.conv(u, None if state is None else state["past"])
        if state is not None:
            state["past"] = torch.cat((state["past"], u), dim=1)[:, u.shape[1] :]
        return self.down(self.activation(c) if self.gate is None else self.activation(self.gate(x), c))

    def new_state(self, batch_size: int, max_len: int, like: Tensor) -> State:
        return {"past": like.new_zeros(batch_size, self.kernel - 1, self.d_ff)}

    def flops(self, seq_len: int) -> Flops:
        return Flops(activation=self.d_ff * cast("Activation", self.activation).flops_per_unit)
