"""ReGLU (Shazeer 2020, arXiv:2002.05202, equation 5)."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from variants.registry import register


@register("activation", "reglu")
class ReGLU(nn.Module):
    """ReGLU: h = max(0, g) * u. Shazeer 2020, arXiv:2002.05202, equation 5."""

    num_projections = 2
    flops_per_unit = 2

    def forward(self, gate: Float[Tensor, "..."], up: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return F.relu(gate) * up
