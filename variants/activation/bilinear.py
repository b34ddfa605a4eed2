"""Bilinear gating, a GLU without a nonlinearity (Shazeer 2020, arXiv:2002.05202; LiGLU in Narang et al. 2021)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from variants.registry import register


@register("activation", "bilinear")
class Bilinear(nn.Module):
    """Bilinear: h = g * u, no nonlinearity; LiGLU in Narang et al. 2021. Shazeer 2020, arXiv:2002.05202, equation 5."""

    num_projections = 2
    flops_per_unit = 1

    def forward(self, gate: Float[Tensor, "..."], up: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return gate * up
