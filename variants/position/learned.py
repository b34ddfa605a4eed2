"""Learned absolute positions (Gehring et al. 2017, arXiv:1705.03122; GPT-2's `wpe`)."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from variants.registry import register
from variants.slots import Position, Role, Shape


class _Table(nn.Embedding):
    role: Role = "embedding"


@register("position", "learned")
class Learned(Position):
    """Learned: h_0 = E[token] + P[position], P a table of seq_len rows. Gehring et al. 2017, arXiv:1705.03122.

    Undefined past its table: `limit` says so, and the model refuses a longer text.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.limit = shape.seq_len
        self.table = _Table(shape.seq_len, shape.d_model)

    def embed(
        self, x: Float[Tensor, "batch time d_model"], positions: Int[Tensor, "..."]
    ) -> Float[Tensor, "batch time d_model"]:
        return x + self.table(positions)
