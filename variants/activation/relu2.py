"""Squared ReLU (So et al. 2021, Primer, arXiv:2109.08668)."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from variants.registry import register


@register("activation", "relu2")
class ReLU2(nn.Module):
    """ReLU squared: h = max(0, u)^2. So et al. 2021 (Primer), arXiv:2109.08668, section 3."""

    num_projections = 1
    flops_per_unit = 2

    def forward(self, up: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return F.relu(up).square()
