"""GELU, exact (Hendrycks and Gimpel 2016, arXiv:1606.08415)."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from variants.registry import register


@register("activation", "gelu")
class GELU(nn.Module):
    """GELU, exact: h = u Phi(u), Phi the normal CDF. Hendrycks and Gimpel 2016, arXiv:1606.08415."""

    num_projections = 1
    flops_per_unit = 5  # scale, erf, add, halve, multiply; erf counted as one

    def forward(self, up: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return F.gelu(up)
