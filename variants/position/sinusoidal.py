"""Sinusoidal absolute positions (Vaswani et al. 2017, arXiv:1706.03762)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from variants.errors import UserError
from variants.registry import register
from variants.slots import Position, Shape


@register("position", "sinusoidal")
class Sinusoidal(Position):
    """Sinusoidal: h_0 = E[token] + P[t], P[t, 2i] = sin(t / 10000^(2i/d)), P[t, 2i+1] = cos(same). Vaswani et al. 2017.

    arXiv:1706.03762, section 3.5. Nothing is learned and there is no last position. P has entries of
    root mean square 0.71; section 3.4 of the paper multiplies E by sqrt(d_model) before the sum, the
    model's embedding_scale. Without it, `amplitude` can bring P to the size of E instead.

    Args:
        amplitude: what P is multiplied by; 1 as in the paper.
    """

    def __init__(self, shape: Shape, *, amplitude: float = 1.0) -> None:
        super().__init__()
        if amplitude <= 0:
            raise UserError(f"position.amplitude must be positive, got {amplitude}; position=none adds nothing")
        self.amplitude = amplitude

    def embed(
        self, x: Float[Tensor, "batch time d_model"], positions: Int[Tensor, "..."]
    ) -> Float[Tensor, "batch time d_model"]:
        d_model, precise = x.shape[-1], torch.promote_types(x.dtype, torch.float32)
        exponents = torch.arange(0, d_model, 2, dtype=precise, device=x.device) / d_model
        angles = positions[..., None].to(precise) * 10_000.0**-exponents
        table = torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)[..., :d_model]
        return x + (self.amplitude * table).to(x.dtype)
