"""GELU by its tanh approximation, as GPT-2 uses it (Hendrycks and Gimpel 2016, arXiv:1606.08415)."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from variants.registry import register


@register("activation", "gelu_tanh")
class GELUTanh(nn.Module):
    """GELU, tanh form: h = u/2 (1 + tanh(sqrt(2/pi) (u + 0.044715 u^3))). Hendrycks and Gimpel 2016, arXiv:1606.08415.

    Up to 5e-4 from activation=gelu: a different function, and the one of GPT-2, GPT-J and Gemma.
    """

    num_projections = 1
    flops_per_unit = 9  # cube 2, times 0.044715, add u, scale, tanh, add 1, times u, halve; tanh counted as one

    def forward(self, up: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return F.gelu(up, approximate="tanh")
