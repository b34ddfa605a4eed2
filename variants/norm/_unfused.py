"""RMSNorm from the kernels that torch has on a CPU, where `F.rms_norm` runs a dozen small ones forward and backward.

LayerNorm's backward kernel takes the mean and 1/std from outside. Told that the mean is 0 and 1/std is 1/rms, it gives
RMSNorm's gradients but for the term by which LayerNorm centres, and that is added back. One pass over memory each way
is left beyond LayerNorm's; docs/performance.md has the ratios.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

EXACT = (torch.float32, torch.float64)
"""Types whose statistics need no wider one."""

FEWEST = 2**17
"""Elements from which it pays: below, the calls through Python cost more than the passes over memory that they spare.
Measured in whole training steps, docs/performance.md."""


def pays(x: Tensor, weight: Tensor) -> bool:
    """Whether `rms_norm` below is the quicker way to train on `x`."""
    return x.device.type == "cpu" and x.requires_grad and x.numel() >= FEWEST and x.dtype == weight.dtype in EXACT


def rms_norm(x: Float[Tensor, "... size"], weight: Float[Tensor, " size"], eps: float) -> Float[Tensor, "... size"]:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimension, of a type in `EXACT`."""
    return _RMSNorm.apply(x, weight, eps)[0]  # pyright: ignore[reportOptionalSubscript]


class _RMSNorm(torch.autograd.Function):
    """Returns the result and 1/rms, which the backward wants."""

    generate_vmap_rule = True  # many seeds as one program

    @staticmethod
    def forward(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        square = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_()
        scale = square.mul_(1 / x.shape[-1]).add_(eps).rsqrt_()
        return (x * scale).mul_(weight), scale

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, float], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(inputs[0], inputs[1], output[1])
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:  # pyright: ignore
        x, weight, scale = ctx.saved_tensors
        size, mean = x.shape[-1], torch.zeros_like(scale)
        dx, dweight, _ = torch.ops.aten.native_layer_norm_backward(
            grads[0], x, [size], mean, scale, weight, None, [True, True, False]
        )
        centred = (grads[0] * weight).sum(-1, keepdim=True)
        return dx.addcmul_(centred, scale, value=1 / size), dweight, None
