"""MixFFN, made causal: a depthwise convolution inside the FFN (Xie et al. 2021, SegFormer, arXiv:2105.15203)."""

from __future__ import annotations

from typing import Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from variants.errors import UserError
from variants.registry import register
from variants.slots import Activation, Flops, Linear, MakeActivation, Role, Shape, State

Start = Literal["identity", "default"]


class CausalConv(nn.Module):
    """c_t = sum_j weight[:, j] * u_{t-j} + bias, one kernel a channel, zeros before the text.

    `weight` (channels, kernel) starts at the identity, 1 for the present token and 0 for the past, or is drawn as
    torch draws a depthwise kernel; `bias` starts at zero.
    """

    def __init__(self, channels: int, kernel: int, start: Start) -> None:
        super().__init__()
        self.role: Role = "constant" if start == "identity" else "conv"
        self.weight = nn.Parameter(torch.zeros(channels, kernel))
        self.bias = nn.Parameter(torch.zeros(channels))
        with torch.no_grad():
            self.weight[:, 0] = 1.0

    def forward(self, u: Float[Tensor, "batch time channels"], past: Tensor | None = None) -> Tensor:
        """`past` (batch, kernel-1, channels) holds the inputs before the first; zeros when None."""
        channels, kernel = self.weight.shape
        if past is None:
            past = u.new_zeros(len(u), kernel - 1, channels)
        padded = torch.cat((past, u), dim=1)  # (B, kernel-1 + T, C)
        if u.is_cuda:
            return self._sum_of_shifts(padded, u.shape[1])
        # as an image of one row, whose channels lie last in memory: no transposition, and oneDNN's fast path
        row = padded.transpose(1, 2).unsqueeze(2)  # (B, C, 1, kernel-1 + T)
        c = F.conv2d(row, self.weight.flip(1)[:, None, None], self.bias, groups=channels)
        return c.squeeze(2).transpose(1, 2)

    def _sum_of_shifts(self, padded: Tensor, length: int) -> Tensor:
        """The definition, elementwise: a compiled step takes it together with what comes before and after, where
        cuDNN's depthwise kernels and their changes of layout stand alone. Summed in the weights' numbers."""
        last = self.weight.shape[1] - 1
        c = self.bias
        for j, weight in enumerate(self.weight.unbind(1)):
            c = c + weight * padded[:, last - j : last - j + length]
        return c.to(padded.dtype)

    def flops(self, seq_len: int) -> Flops:
        return Flops(conv=2.0 * self.weight.numel())


@register("ffn", "mixffn")
class MixFFN(nn.Module):
    """MixFFN: y = W_down act(conv(W_up x)), conv causal and depthwise. Xie et al. 2021, SegFormer, arXiv:2105.15203.

    Gated: W_down act(W_gate x, conv(W_up x)). The causal form of SegFormer's Mix-FFN, whose convolution is
    two-dimensional and looks both ways. From the identity start it is the dense FFN until it learns otherwise.

    Args:
        kernel: tokens the convolution sees, the present one included.
        start: of the kernels: identity, or default, torch's U(-1/sqrt(kernel), 1/sqrt(kernel)).
        on: what a gated activation's convolution is applied to; both, as in Canon-D, is two convolutions.
    """

    def __init__(
        self,
        shape: Shape,
        make_activation: MakeActivation,
        *,
        kernel: int = 3,
        start: Start = "identity",
        on: Literal["up", "gate", "both"] = "up",
    ) -> None:
        super().__init__()
        if kernel < 1:
            raise UserError(f"ffn.kernel must be at least 1 token, got {kernel}")
        self.activation = make_activation()
        gated = cast("Activation", self.activation).num_projections == 2
        if on != "up" and not gated:
            raise UserError(f"ffn.on={on} needs a gated activation such as swiglu; leave it out, or choose one")
        self.d_ff, self.kernel = shape.d_ff, kernel
        self.gate = Linear(shape.d_model, shape.d_ff, bias=shape.bias) if gated else None
        self.up = Linear(shape.d_model, shape.d_ff, bias=shape.bias)
        self.conv = CausalConv(shape.d_ff, kernel, start) if on != "gate" else None
        self.gate_conv = CausalConv(shape.d_ff, kernel, start) if on != "up" else None
        self.down = Linear(shape.d_ff, shape.d_model, bias=shape.bias, role="output")

    def forward(
        self, x: Float[Tensor, "batch time d_model"], state: State | None = None
    ) -> Float[Tensor, "batch time d_model"]:
        u = self._convolve(self.conv, self.up(x), state, "past")
        if self.gate is None:
            return self.down(self.activation(u))
        return self.down(self.activation(self._convolve(self.gate_conv, self.gate(x), state, "gate_past"), u))

    def _convolve(self, conv: CausalConv | None, u: Tensor, state: State | None, name: str) -> Tensor:
        if conv is None:
            return u
        if state is None:
            return conv(u)
        past = state[name]
        c = conv(u, past)
        past.copy_(torch.cat((past, u), dim=1)[:, u.shape[1] :])
        return c

    def new_state(self, batch_size: int, max_len: int, like: Tensor) -> State:
        names = {"past": self.conv, "gate_past": self.gate_conv}
        size = (batch_size, self.kernel - 1, self.d_ff)
        return {name: like.new_zeros(size) for name, conv in names.items() if conv is not None}

    def flops(self, seq_len: int) -> Flops:
        return Flops(activation=self.d_ff * cast("Activation", self.activation).flops_per_unit)
