"""How long a norm takes by itself: RMSNorm beside LayerNorm on the same tensor, blocks interleaved (blocks.py).

Three kernel modes, because the answer is one about kernels: `fused`, torch's own kernels; `elementary`, each written
as the operations of its formula, which is what an unfused program runs; `compiled`, the elementary form through
torch.compile. Ideal traffic of a forward pass is the same for both: every element read once and written once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.score.throughput.blocks import block_of, time_blocks
from harness.score.throughput.statistics import log_ratio, summary
from variants.errors import UserError, nearest

Mode = Literal["fused", "elementary", "compiled"]

TOKENS = 4096
"""Rows of the tensor; 0.75 MiB in fp32 at a width of 48. Assumption: as much as a micro-batch."""

EPS = 1e-5
"""The same in both, as LayerNorm's default."""


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias, operation by operation."""
    centred = x - x.mean(-1, keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + EPS) * weight + bias


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight, operation by operation."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS) * weight


def norm_kernels(mode: Mode, width: int, backward: bool, num_blocks: int, device: torch.device) -> dict[str, Any]:
    """ln of RMSNorm's time over LayerNorm's with its intervals, and what each took, in seconds."""
    if mode not in get_args(Mode):
        raise UserError(f"unknown kernel mode {mode!r}{nearest(mode, get_args(Mode))}")
    x = torch.randn(TOKENS, width, generator=torch.Generator().manual_seed(0)).to(device)
    weight, bias = torch.ones(width, device=device), torch.zeros(width, device=device)
    layer, rms = _forms(mode, width)
    calls = [_call(lambda t, w, b: layer(t, w, b), x, (weight, bias), backward)]
    calls.append(_call(lambda t, w: rms(t, w), x, (weight,), backward))
    seconds = time_blocks([block_of(call, device) for call in calls], num_blocks)
    slower = log_ratio(seconds[1], seconds[0])  # ln(time of RMSNorm / time of LayerNorm)
    return {
        "log_ratio": dataclasses.asdict(slower),
        "layer_seconds": dataclasses.asdict(summary(seconds[0])),
        "rms_seconds": dataclasses.asdict(summary(seconds[1])),
        "ideal_bytes": 2 * TOKENS * width * x.element_size(),
        "tokens": TOKENS,
    }


def _forms(mode: Mode, width: int) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    if mode == "fused":
        return (
            lambda t, w, b: F.layer_norm(t, (width,), w, b, EPS),
            lambda t, w: F.rms_norm(t, (width,), w, EPS),
        )
    if mode == "elementary":
        return layer_norm, rms_norm
    return cast("Any", torch.compile(layer_norm, dynamic=False)), cast("Any", torch.compile(rms_norm, dynamic=False))


def _call(
    norm: Callable[..., Tensor], x: Tensor, parameters: tuple[Tensor, ...], backward: bool
) -> Callable[[], object]:
    if not backward:

        @torch.no_grad()
        def forward() -> Tensor:
            return norm(x, *parameters)

        return forward
    leaves = [t.clone().requires_grad_() for t in (x, *parameters)]
    gradient = torch.ones_like(x)

    def both() -> object:
        return torch.autograd.grad(norm(*leaves), leaves, gradient)

    return both
