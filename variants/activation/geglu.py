"""GEGLU (Shazeer 2020, arXiv:2002.05202, equation 5)."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from variants.registry import register


@register("activation", "geglu")
class GEGLU(nn.Module):
    """GEGLU: h = gelu(g) * u, gelu(g) = g Phi(g). Shazeer 2020, arXiv:2002.05202, equation 5.

    Args:
        approximate: none, the exact GELU; tanh, its approximation, as in Gemma and T5 1.1.
    """

    num_projections = 2
    flops_per_unit = 6  # as gelu, 5; multiply by u

    def __init__(self, *, approximate: Literal["none", "tanh"] = "none") -> None:
        super().__init__()
        self.approximate = approximate
        if approximate == "tanh":
            self.flops_per_unit = 10  # as gelu_tanh, 9; multiply by u

    def forward(self, gate: Float[Tensor, "..."], up: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return F.gelu(gate, approximate=self.approximate) * up
