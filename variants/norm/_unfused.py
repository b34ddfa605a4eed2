"""RMSNorm from the kernels that torch has on a CPU, where `F.rms_norm` runs a dozen small ones forward and backward.

LayerNorm's backward kernel takes the mean and 1/std from outside. Told that the mean is 0 and 1/std is 1/rms, it gives
RMSNorm's gradients but for the term by which LayerNorm centres, and that is added back: a product with a vector and
one pass over memory. docs/performance.md has the ratios.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

EXACT = (torch.float32, torch.float64)
"""Types whose statistics need no wider one."""

FEWEST = 2**16
"""Elements from which it pays: below, the calls through Python cost more than the passes over memory that they spare.
Measured in whole training steps, docs/performance.md."""


def pays(x: Tensor, weight: Tensor) -> bool:
    """Whether `rms_norm` below can train on `x`, which `torch.func` does not let it, and is the quicker way."""
    return (
        x.device.type == "cpu"
        and x.requires_grad
        and x.numel() >= FEWEST
        and x.dtype == weight.dtype in EXACT
        and not torch._C._are_functorch_transforms_active()  # no public way
    )


def rms_norm(x: Float[Tensor, "... size"], weight: Float[Tensor, " size"], eps: float) -> Float[Tensor, "... size"]:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimension, of a type in `EXACT`."""
    return _RMSNorm.apply(x, weight, eps)


class _RMSNorm(torch.autograd.Function):
    """The context is the forward's own: `setup_context`, which `torch.func` asks for, costs a fifth of a small norm."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = torch.addcmul(x.new_full((), eps), norm, norm, value=1 / x.shape[-1]).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight, scale = ctx.saved_tensors
        size = len(weight)
        dx, dweight, _ = torch.ops.aten.native_layer_norm_backward(
            grads[0], x, [size], torch.zeros_like(scale), scale, weight, None, [True, True, False]
        )
        centred = torch.matmul(grads[0], weight)[..., None].mul_(scale)
        return dx.add_(centred, alpha=1 / size), dweight, None
