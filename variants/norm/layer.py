"""LayerNorm (Ba, Kiros and Hinton 2016, arXiv:1607.06450)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from variants.registry import register
from variants.slots import Flops


@register("norm", "layer")
class LayerNorm(nn.Module):
    """LayerNorm: y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias. Ba, Kiros and Hinton 2016, arXiv:1607.06450.

    Over the last dimension; var is the biased variance. Statistics of low-precision input are fp32.

    Args:
        size: length of the normalised dimension.
        eps: added to the variance; 1e-5 as in GPT-2.
        weight: whether the learned gain is there.
        bias: whether the learned shift is there; without both it is the norm of OLMo 1, arXiv:2402.00838.
    """

    def __init__(self, size: int, *, eps: float = 1e-5, weight: bool = True, bias: bool = True) -> None:
        super().__init__()
        self.size = size
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(size)) if weight else None
        self.bias = nn.Parameter(torch.zeros(size)) if bias else None

    def forward(self, x: Float[Tensor, "... size"]) -> Float[Tensor, "... size"]:
        return F.layer_norm(x, (self.size,), self.weight, self.bias, self.eps)

    def flops(self, seq_len: int) -> Flops:
        # mean, centre, square, mean, scale by 1/std: 5 operations an element; weight and bias one each
        return Flops(norm=(5 + (self.weight is not None) + (self.bias is not None)) * self.size)
