"""GLU, the gated linear unit (Dauphin et al. 2016, arXiv:1612.08083; in the FFN, Shazeer 2020, arXiv:2002.05202)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from variants.registry import register


@register("activation", "glu")
class GLU(nn.Module):
    """GLU: h = sigmoid(g) * u. Shazeer 2020, arXiv:2002.05202, equation 4; Dauphin et al. 2016, arXiv:1612.08083."""

    num_projections = 2
    flops_per_unit = 5  # negate, exp, add, divide; multiply by u

    def forward(self, gate: Float[Tensor, "..."], up: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return torch.sigmoid(gate) * up
