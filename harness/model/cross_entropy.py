"""The head and its cross-entropy over slices of the tokens, so that no more than a slice of the logits exists.

With N tokens and V entries the whole logits, their log-softmax and its gradient are three tensors of N V numbers;
here each slice's gradient is taken at once, as in Liger's fused loss (Hsu et al. 2024, arXiv:2410.10989).
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

WHOLE_LOGITS = 2**24
"""Logits, tokens x entries, up to which they are held whole: 64 MiB in fp32. Assumption: no default size comes near
it, so smaller runs keep their bits, and above it three such tensors are what fills the memory."""

SLICE_LOGITS = 2**22
"""Logits of one slice: 16 MiB in fp32, within a large cache. Assumption."""


def sliced_cross_entropy(
    x: Float[Tensor, "tokens d_model"],
    weight: Float[Tensor, "vocab d_model"],
    targets: Int[Tensor, "tokens"],
    softcap: float | None,
    slice_logits: int | None = None,
) -> Float[Tensor, ""]:
    """Mean over tokens of -log softmax(cap tanh(weight x / cap))[target], nats; without the cap when it is None.

    Of bf16 the products alone are taken in bf16. `slice_logits` None is `SLICE_LOGITS`.
    """
    return cast("Tensor", _Sliced.apply(x, weight, targets, softcap, slice_logits or SLICE_LOGITS))


class _Sliced(torch.autograd.Function):
    """Loss and both gradients in one pass: the backward only scales them."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, targets: Tensor, softcap: float | None, slice_logits: int
    ) -> Tensor:
        rows, wide = max(1, slice_logits // len(weight)), torch.promote_types(x.dtype, torch.float32)
        total = x.new_zeros((), dtype=wide)
        needed = any(ctx.needs_input_grad)
        grad_x, grad_weight = (torch.empty_like(x), torch.zeros_like(weight, dtype=wide)) if needed else (None, None)
        for x_rows, target_rows, start in zip(x.split(rows), targets.split(rows), range(0, len(x), rows), strict=True):
            logits = (x_rows @ weight.t()).to(wide)  # (rows, V)
            bent = None if softcap is None else torch.tanh(logits / softcap)
            loss, grad = _of_slice(logits if bent is None else cast("float", softcap) * bent, target_rows)
            total += loss
            if grad_x is None or grad_weight is None:
                continue
            grad /= len(x)
            if bent is not None:
                grad *= 1 - bent.square()
            grad = grad.to(x.dtype)
            grad_x[start : start + len(grad)] = grad @ weight
            if wide == x.dtype:
                grad_weight.addmm_(grad.t(), x_rows)
            else:
                grad_weight += grad.t() @ x_rows
        ctx.save_for_backward(grad_x, grad_weight)
        return total / len(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        grad_x, grad_weight = ctx.saved_tensors
        return grad_x * grads[0], grad_weight * grads[0], None, None, None


def _of_slice(
    logits: Float[Tensor, "rows vocab"], targets: Int[Tensor, "rows"]
) -> tuple[Float[Tensor, ""], Float[Tensor, "rows vocab"]]:
    """Sum of -log softmax(logits)[target], and its gradient softmax(logits) - 1[target]."""
    if logits.is_cuda:  # one kernel of a compiled step, where an index would be one more, and sorts to be deterministic
        spread = logits.logsumexp(dim=-1, keepdim=True)
        hit = torch.arange(logits.shape[1], device=logits.device) == targets[:, None]
        p = (logits - spread).exp()
        return (spread - logits.gather(1, targets[:, None])).sum(), torch.where(hit, p - 1, p)
    log_p = F.log_softmax(logits, dim=-1)
    loss, grad = F.nll_loss(log_p, targets, reduction="sum"), log_p.exp_()
    grad[torch.arange(len(grad)), targets] -= 1.0
    return loss, grad
