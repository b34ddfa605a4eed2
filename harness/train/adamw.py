"""Clipping and AdamW of flat vectors (harness/train/flat.py), written out so that one graph can hold a whole step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.spec.recipe import Recipe
from harness.train.flat import Layout

ADAM_EPS = 1e-8
"""torch's default, which the eager step uses."""

CLIP_EPS = 1e-6
"""What `clip_grad_norm_` adds to the norm."""

State = tuple[Tensor, Tensor, Tensor]
"""Weights, first moments and second moments: (size,) of one run, (rows, size) of a stack."""


def clip_factors(norms: Tensor, clip: float) -> Tensor:
    """What gradients of these norms are multiplied with, as `clip_grad_norm_` does; of the norms' shape."""
    return (clip / (norms + CLIP_EPS)).clamp(max=1.0)


@torch.no_grad()
def adamw(
    layout: Layout, recipe: Recipe, state: State, grads: Sequence[Tensor], norms: Tensor, scalars: Tensor
) -> None:
    """Clip by the norms, then one step of AdamW in place, operation by operation as torch's fused kernel.

    Args:
        grads: in the order of `layout.names`.
        norms: of all gradients of a run together: () of one run, (rows,) of a stack.
        scalars: of the step, see `harness.train.schedule.StepScalars`.
    """
    weights, first, second = state
    rate, correction1, correction2 = scalars.unbind()
    gradient = layout.join(grads) * clip_factors(norms, recipe.clip)[..., None]
    m = first + (gradient - first) * (1 - recipe.beta1)
    v = second * recipe.beta2 + gradient * gradient * (1 - recipe.beta2)
    update = rate / correction1 * m / (v.sqrt() / correction2 + ADAM_EPS)
    decays = torch.arange(layout.size, device=weights.device) < layout.num_decayed
    decay = torch.where(decays, rate * recipe.weight_decay, 0.0)  # in one pass, where two slices would be copied
    weights.copy_(weights - decay * weights - update)
    first.copy_(m)
    second.copy_(v)
