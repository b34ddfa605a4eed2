"""CRMSNorm, compressed RMSNorm (Jiang, Gu, Zhu and Pan 2023, arXiv:2305.14858)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from variants.norm._precision import widen
from variants.registry import register
from variants.slots import Flops


@register("norm", "crms")
class CRMSNorm(nn.Module):
    """CRMSNorm: y = z / sqrt((sum(z^2) + sum(z)^2) / (size + 1) + eps), no parameters. Jiang 2023, arXiv:2305.14858.

    z holds the first `size` entries of a vector of size + 1 whose entries sum to 0, so the one
    left out is -sum(z), and the root is the RMS of the whole vector. The gain and shift of the
    LayerNorm that it replaces live in the matrices that follow: `harness.model.convert_norms`
    makes such a model from a trained one, with one residual dimension fewer and equal logits.

    Args:
        size: length of the normalised dimension, one less than that of the vector it stands for.
        eps: added to the mean square; 1e-5 as in norm=layer, which it reproduces.
    """

    def __init__(self, size: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.size = size
        self.eps = eps

    def forward(self, x: Float[Tensor, "... size"]) -> Float[Tensor, "... size"]:
        z = widen(x)
        left_out = z.sum(-1, keepdim=True)
        mean_square = (z.square().sum(-1, keepdim=True) + left_out.square()) / (self.size + 1)
        return (z * torch.rsqrt(mean_square + self.eps)).to(x.dtype)

    def flops(self, seq_len: int) -> Flops:
        # square, sum of squares, sum, scale by 1/rms: 4 operations an element
        return Flops(norm=4 * self.size)
