"""pRMSNorm, partial RMSNorm (Zhang and Sennrich 2019, arXiv:1910.07467, section 5)."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from variants.errors import UserError
from variants.norm._precision import widen
from variants.registry import register
from variants.slots import Flops


@register("norm", "prms")
class PartialRMSNorm(nn.Module):
    """pRMSNorm: y = x / sqrt(mean(x_1^2 .. x_k^2) + eps) * weight, k = ceil(p size). Zhang 2019, arXiv:1910.07467.

    The RMS of the first k entries stands for that of all `size`. eps is inside the root, as in
    norm=rms, so that p = 1 is exactly that; the authors' code adds it to the root instead.

    Args:
        size: length of the normalised dimension.
        p: share of the entries in the statistic; 1/16 = 6.25 % in section 5 of the paper.
        eps: added to the mean square; 1e-6 as in norm=rms.
    """

    # A narrow model's 1/16 is one or two entries, whose square may be near zero: rounding is then blown up.
    contract_options: ClassVar[dict[str, float]] = {"p": 0.5}

    def __init__(self, size: int, *, p: float = 0.0625, eps: float = 1e-6) -> None:
        super().__init__()
        if not 0 < p <= 1:
            raise UserError(f"norm.p is a share of the entries, above 0 and at most 1, got {p}")
        self.eps = eps
        self.num_used = math.ceil(round(size * p, 9))  # rounded, or 0.1 * 30 would be 4 entries
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Float[Tensor, "... size"]) -> Float[Tensor, "... size"]:
        wide = widen(x)
        mean_square = wide[..., : self.num_used].square().mean(-1, keepdim=True)
        return (wide * torch.rsqrt(mean_square + self.eps) * self.weight).to(x.dtype)

    def flops(self, seq_len: int) -> Flops:
        # square and mean over the first k entries; scale by 1/rms and weight over all
        return Flops(norm=2 * self.num_used + 2 * self.weight.numel())
