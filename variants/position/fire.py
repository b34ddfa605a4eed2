"""FIRE, functional interpolation for relative positions (Li et al. 2023, arXiv:2310.04418)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from variants.errors import UserError
from variants.position._distance import distances, heads_first
from variants.registry import register
from variants.slots import Encoding, Flops, Position, Role, Shape, causal_keys

EPS = 1e-6  # added to the normaliser, as in the reference mcleish7/arithmetic


@register("position", "fire")
class FIRE(Position):
    """FIRE: score_ij = q_i k_j / sqrt(d_head) + f(psi(i - j) / psi(max(L, i))), psi(x) = ln(|c| x + 1). Li et al. 2023.

    arXiv:2310.04418, section 3. f is an MLP 1 -> width -> heads with ReLU, one for all layers (the
    paper's FIRE-S); L = |multiplier| threshold; c, multiplier and f are learned. c starts at 0.1. The
    first bias starts evenly over (-1, 1), the range of torch's default for a fan-in of 1: at zero, f
    would start as a linear function (an assumption; the paper does not say). The second starts at 0.

    Args:
        threshold: position up to which distances are normalised alike, L; 512 as in the paper.
        width: hidden units of f; 32 as in the paper.
    """

    role: Role = "input"

    def __init__(self, shape: Shape, *, threshold: float = 512.0, width: int = 32) -> None:
        super().__init__()
        if threshold <= 0 or width < 1:
            raise UserError(f"position=fire needs a threshold > 0 and a width >= 1, got {threshold} and {width}")
        self.shape, self.threshold, self.width = shape, threshold, width
        self.c = nn.Parameter(torch.tensor(0.1))
        self.multiplier = nn.Parameter(torch.tensor(1.0))
        self.up = nn.Parameter(torch.empty(width, 1))
        self.up_bias = nn.Parameter(torch.linspace(-1, 1, width + 2)[1:-1])
        self.down = nn.Parameter(torch.empty(shape.n_heads, width))
        self.down_bias = nn.Parameter(torch.zeros(shape.n_heads))

    def encode(self, positions: Int[Tensor, "*batch time"], num_keys: int) -> Encoding:
        precise = torch.promote_types(self.c.dtype, torch.float32)
        distance = distances(positions, num_keys).clamp_min(0).to(precise)  # ([B,] T, K)
        reach = torch.maximum((self.multiplier * self.threshold).abs(), positions.to(precise))
        t = self._psi(distance) / (self._psi(reach)[..., None] + EPS)
        hidden = F.relu(torch.addmm(self.up_bias[:, None], self.up, t.to(self.up.dtype).view(1, -1)))  # (width, T K)
        bias = torch.addmm(self.down_bias[:, None], self.down, hidden).unflatten(1, t.shape)
        return Encoding(bias=heads_first(bias))

    def _psi(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return torch.log1p(self.c.abs() * x)

    def flops(self, seq_len: int) -> Flops:
        # f is evaluated once a pass for the full square of pairs, of which a causal text needs (T + 1) / 2 a query;
        # the bias is added once a head and visible key in every layer
        per_pair, keys = 2.0 * self.width * (1 + self.shape.n_heads), causal_keys(seq_len)
        return Flops(
            matmul=per_pair * keys,
            attention_masked=per_pair * (seq_len - keys),
            rotation=self.shape.n_layers * self.shape.n_heads * keys,
        )
