"""SiLU, or Swish with beta = 1 (Elfwing et al. 2017, arXiv:1702.03118; Ramachandran et al. 2017, arXiv:1710.05941)."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from variants.registry import register


@register("activation", "silu")
class SiLU(nn.Module):
    """SiLU: h = u sigmoid(u), Swish with beta = 1. Ramachandran, Zoph and Le 2017, arXiv:1710.05941."""

    num_projections = 1
    flops_per_unit = 4  # negate, exp, add, divide

    def forward(self, up: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return F.silu(up)
