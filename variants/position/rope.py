"""Rotary position embedding, RoPE (Su et al. 2021, arXiv:2104.09864)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from variants.errors import UserError
from variants.registry import register
from variants.slots import Encoding, Flops, Position, Shape


@register("position", "rope")
class RoPE(Position):
    """RoPE: each pair (u, v) of q and k turns by t w_i, w_i = theta^(-2i / d_head), at position t.

    (u, v) -> (u cos - v sin, v cos + u sin); pairs are half-split, (x_i, x_{i + d_head/2}), as in
    Llama and GPT-NeoX. Angles are fp32. Su et al. 2021, arXiv:2104.09864, section 3.4.

    Args:
        theta: base of the geometric series of frequencies.
    """

    frequencies: Tensor

    def __init__(self, shape: Shape, *, theta: float = 10_000.0) -> None:
        super().__init__()
        if shape.d_head % 2:
            raise UserError(f"position=rope needs an even d_head, got {shape.d_head}; change --size or --heads")
        exponents = torch.arange(0, shape.d_head, 2, dtype=torch.float32) / shape.d_head
        self.register_buffer("frequencies", theta**-exponents, persistent=False)
        self.shape = shape

    def encode(self, positions: Int[Tensor, "..."], num_keys: int) -> Encoding:
        angles = positions[..., None].float() * self.frequencies  # (T, d_head/2) or (B, T, d_head/2)
        if angles.ndim == 3:
            angles = angles[:, None]  # (B, 1, T, d_head/2)
        cos, sin = angles.cos(), angles.sin()

        def rotate(x: Float[Tensor, "batch heads time d_head"]) -> Float[Tensor, "batch heads time d_head"]:
            u, v = x.chunk(2, dim=-1)
            c, s = cos.to(x.dtype), sin.to(x.dtype)
            return torch.cat((u * c - v * s, v * c + u * s), dim=-1)

        return Encoding(rotate=rotate)

    def flops(self, seq_len: int) -> Flops:
        # q and k, in every layer: 4 multiplications and 2 additions a pair, 3 an element
        return Flops(rotation=3.0 * 2 * self.shape.n_heads * self.shape.d_head * self.shape.n_layers)
