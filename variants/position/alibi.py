"""ALiBi, attention with linear biases (Press, Smith and Lewis 2021, arXiv:2108.12409)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from variants.position._distance import distances
from variants.registry import register
from variants.slots import Encoding, Flops, Position, Shape, causal_keys


@register("position", "alibi")
class ALiBi(Position):
    """ALiBi: score_ij = q_i k_j / sqrt(d_head) - m_h (i - j), m_h = 2^(-8h / n), h = 1..n. Press et al. 2021.

    arXiv:2108.12409, section 3. For n heads, n no power of two, the slopes are those of the lower
    power of two followed by every other slope of the double of it, as in the authors' code and Bloom.
    The bias is not divided by sqrt(d_head); nothing is learned.
    """

    exponents: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        # of 2, and multiples of a power of two: exact in every dtype the model may be brought to
        self.register_buffer("exponents", torch.tensor(slope_exponents(shape.n_heads)), persistent=False)

    def slopes(self) -> Float[Tensor, "heads"]:
        """m_h, fp32, or fp64 in an fp64 model."""
        return torch.exp2(-self.exponents.to(torch.promote_types(self.exponents.dtype, torch.float32)))

    def encode(self, positions: Int[Tensor, "*batch time"], num_keys: int) -> Encoding:
        distance = distances(positions, num_keys).unsqueeze(-3)  # ([B,] 1, T, K)
        return Encoding(bias=-self.slopes()[:, None, None] * distance)

    def flops(self, seq_len: int) -> Flops:
        # one addition a head and visible key in every layer; building the bias once is not counted
        return Flops(rotation=self.shape.n_layers * self.shape.n_heads * causal_keys(seq_len))


def slope_exponents(n_heads: int) -> list[float]:
    """-log2 of the slopes, in the order of the heads."""
    lower = 1 << (n_heads.bit_length() - 1)  # the largest power of two not above n_heads
    exponents = [8 * h / lower for h in range(1, lower + 1)]
    return exponents + [8 * h / (2 * lower) for h in range(1, 2 * (n_heads - lower), 2)]
