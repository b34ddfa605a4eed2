"""Count the multiply-adds that torch executes, operation by operation, to check what the ledger declares.

The ledger counts by structure; this counts by running. Attention is forced onto torch's MATH backend, whose two
products are seen as such and compute the full square of scores, so that for every variant

    executed forward  = (matmul + attention + attention_masked + router [+ conv]) x tokens
    executed backward = 2 x that.

`torch.utils.flop_counter` is not used: on the CPU it counts fused attention as 0 and the backward of a depthwise
convolution 16.5 times over (measured, torch 2.13).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from harness.model.transformer import Transformer
from harness.spec.spec import Spec
from variants.slots import Flops


@dataclass(frozen=True)
class Executed:
    """FLOPs of one forward and one backward pass; `conv` of those went through a convolution operator."""

    forward: float
    backward: float
    conv_forward: float
    conv_backward: float


def profile(spec: Spec, *, batch_size: int = 2, seed: int = 0, dtype: torch.dtype = torch.float32) -> Executed:
    """Run one training step of a spec without its optimizer, and count."""
    model = Transformer(spec, seed=seed).to(dtype)
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(spec.vocab_size, (batch_size, spec.seq_len + 1), generator=generator)
    with sdpa_kernel(SDPBackend.MATH):
        with OperationCounter() as ahead:
            loss = model.loss(tokens[:, :-1], tokens[:, 1:]) + model.auxiliary_loss()
        with OperationCounter() as back:
            loss.backward()
    return Executed(ahead.total, back.total, ahead.conv, back.conv)


def declared(flops: Flops, *, conv: bool) -> float:
    """What an operation-level count must find for `flops`, per token; `conv` where a convolution operator runs."""
    return flops.matmul + flops.attention + flops.attention_masked + flops.router + (flops.conv if conv else 0.0)


class OperationCounter(TorchDispatchMode):
    """Context manager that adds up the FLOPs of matrix products and convolutions, 2 a multiply-add.

    Raises:
        NotImplementedError: an operator runs that looks like a product and has no formula here, so that nothing
            is silently missed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = self.conv = 0.0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in FORMULAS:
            flops = FORMULAS[name](args, out)
            self.total += flops
            self.conv += flops if "conv" in name else 0.0
        elif any(part in name for part in PRODUCTS):
            raise NotImplementedError(f"{name} has no formula in harness/plan/profile.py; add one")
        return out


PRODUCTS = ("mm", "conv", "attention", "einsum", "addmv", "bilinear", "matmul")
"""Parts of the names of operators that multiply matrices."""


def _mm(args: tuple[Any, ...], out: Tensor) -> float:
    return 2.0 * out.numel() * args[0].shape[-1]


def _addmm(args: tuple[Any, ...], out: Tensor) -> float:
    return 2.0 * out.numel() * args[1].shape[-1]


def _grouped_mm(args: tuple[Any, ...], out: Tensor) -> float:
    """Rows of the 2-dimensional operand are split over the groups, so every row meets one matrix."""
    a, b = args[0], args[1]
    groups = a.shape[0] if a.ndim == b.ndim == 3 else 1
    return 2.0 * groups * a.shape[-2] * a.shape[-1] * b.shape[-1]


def _convolution(args: tuple[Any, ...], out: Tensor) -> float:
    weight = args[1]  # (channels out, channels in / groups, kernel...)
    return 2.0 * out.numel() * math.prod(weight.shape[1:])


def _convolution_backward(args: tuple[Any, ...], out: tuple[Tensor | None, ...]) -> float:
    """As much as the forward for each gradient that is asked for, of the input and of the weight."""
    grad_output, weight = args[0], args[2]
    asked = sum(bool(wanted) for wanted in args[-1][:2])
    return asked * 2.0 * grad_output.numel() * math.prod(weight.shape[1:])


FORMULAS: dict[str, Callable[[tuple[Any, ...], Any], float]] = {
    "mm": _mm,
    "bmm": _mm,
    "mv": lambda args, out: 2.0 * args[0].numel(),
    "dot": lambda args, out: 2.0 * args[0].numel(),
    "addmm": _addmm,
    "baddbmm": _addmm,
    "_grouped_mm": _grouped_mm,
    "convolution": _convolution,
    "convolution_backward": _convolution_backward,
}
"""FLOPs of an operator from its arguments and its result."""
