"""ScaleNorm (Nguyen and Salazar 2019, arXiv:1910.05895)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from variants.norm._precision import widen
from variants.registry import register
from variants.slots import Flops


@register("norm", "scale")
class ScaleNorm(nn.Module):
    """ScaleNorm: y = weight sqrt(size) x / max(||x||, eps), weight one number. Nguyen 2019, arXiv:1910.05895, eq. 5.

    The paper's g is weight sqrt(size), which it starts at sqrt(size): weight starts at 1, where
    the output has the RMS of norm=rms.

    Args:
        size: length of the normalised dimension.
        eps: the least norm that is divided by; 1e-5 as in the authors' code.
    """

    def __init__(self, size: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.size = size
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Float[Tensor, "... size"]) -> Float[Tensor, "... size"]:
        unit = F.normalize(widen(x), dim=-1, eps=self.eps)
        return (unit * (widen(self.weight) * math.sqrt(self.size))).to(x.dtype)

    def flops(self, seq_len: int) -> Flops:
        # square, sum, scale by one number: 3 operations an element
        return Flops(norm=3 * self.size)
