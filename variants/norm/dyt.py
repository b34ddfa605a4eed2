"""DyT, dynamic tanh, an elementwise stand-in for a norm (Zhu et al. 2025, arXiv:2503.10622)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from variants.registry import register
from variants.slots import Flops


@register("norm", "dyt")
class DyT(nn.Module):
    """DyT: y = weight * tanh(alpha x) + bias, alpha one learned number. Zhu et al. 2025, arXiv:2503.10622, equation 1.

    No statistic is taken: entries do not depend on each other. The paper's language models start
    alpha between 0.05 and 0.8, smaller for wider models, and scale the embedding by sqrt(d_model):
    give DyT its own sweep of alpha before believing a verdict on it.

    Args:
        size: length of the normalised dimension.
        alpha: initial value of alpha; 0.5 as in the paper outside language models.
    """

    def __init__(self, size: int, *, alpha: float = 0.5) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.full((1,), alpha))
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, x: Float[Tensor, "... size"]) -> Float[Tensor, "... size"]:
        return (self.weight * torch.tanh(self.alpha * x) + self.bias).to(x.dtype)

    def flops(self, seq_len: int) -> Flops:
        # alpha, tanh (counted as one), weight, bias: 4 operations an element
        return Flops(norm=4 * self.weight.numel())
