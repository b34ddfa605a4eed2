"""ReLU (Nair and Hinton 2010; in the transformer, Vaswani et al. 2017, arXiv:1706.03762)."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from variants.registry import register


@register("activation", "relu")
class ReLU(nn.Module):
    """ReLU: h = max(0, u). Vaswani et al. 2017, arXiv:1706.03762, equation 2."""

    num_projections = 1
    flops_per_unit = 1

    def forward(self, up: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return F.relu(up)
