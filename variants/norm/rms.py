"""RMSNorm (Zhang and Sennrich 2019, arXiv:1910.07467, equation 4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from variants.norm._unfused import pays, rms_norm
from variants.registry import register
from variants.slots import Flops


@register("norm", "rms")
class RMSNorm(nn.Module):
    """RMSNorm: y = x / sqrt(mean(x^2) + eps) * weight. Zhang and Sennrich 2019, arXiv:1910.07467, equation 4.

    Over the last dimension; eps inside the root. Statistics of low-precision input are fp32.

    Args:
        size: length of the normalised dimension.
        eps: added to the mean square; 1e-6 as in Llama.
    """

    def __init__(self, size: int, *, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Float[Tensor, "... size"]) -> Float[Tensor, "... size"]:
        if pays(x, self.weight):
            return rms_norm(x, self.weight, self.eps)
        # torch takes the statistic in fp32, but has no kernel for a gain of another dtype than x (under autocast)
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)

    def flops(self, seq_len: int) -> Flops:
        # square, mean, scale by 1/rms, weight: 4 operations an element
        return Flops(norm=4 * self.weight.numel())
