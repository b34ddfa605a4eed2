"""SwiGLU (Shazeer 2020, arXiv:2002.05202, equation 6, beta = 1)."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from variants.registry import register


@register("activation", "swiglu")
class SwiGLU(nn.Module):
    """SwiGLU: h = silu(g) * u, silu(g) = g sigmoid(g). Shazeer 2020, arXiv:2002.05202, equation 6."""

    num_projections = 2
    flops_per_unit = 5  # negate, exp, add, divide; multiply by u

    def forward(self, gate: Float[Tensor, "..."], up: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return F.silu(gate) * up
