"""T5's relative position bias (Raffel et al. 2019, arXiv:1910.10683)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Int
from torch import Tensor, nn

from variants.errors import UserError
from variants.position._distance import distances, heads_first
from variants.registry import register
from variants.slots import Encoding, Flops, Position, Role, Shape, causal_keys


@register("position", "t5")
class T5(Position):
    """T5: score_ij = q_i k_j / sqrt(d_head) + B[bucket(i - j), head], B a learned table of all layers. Raffel 2019.

    arXiv:1910.10683, section 2.1. With half = buckets / 2, bucket(n) = n below half, then
    half + floor(half ln(n / half) / ln(max_distance / half)), at most buckets - 1. T5 itself does not
    divide scores by sqrt(d_head) and folds that into its initialisation; here the division stays, so
    that the bias is the only thing that differs from the other positions. B starts at 0 (no position).

    Args:
        buckets: rows of the table.
        max_distance: distance from which all keys share the last bucket.
    """

    role: Role = "constant"

    def __init__(self, shape: Shape, *, buckets: int = 32, max_distance: int = 128) -> None:
        super().__init__()
        if buckets < 2 or max_distance <= buckets // 2:
            raise UserError(
                f"position=t5 needs buckets >= 2 and max_distance > buckets / 2, got {buckets} and {max_distance}"
            )
        self.shape, self.buckets, self.max_distance = shape, buckets, max_distance
        self.table = nn.Parameter(torch.zeros(buckets, shape.n_heads))

    def bucket(self, distance: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
        """The row of the table for keys `distance` >= 0 tokens back."""
        exact = self.buckets // 2
        ratio = torch.log(distance.clamp_min(1).float() / exact) / math.log(self.max_distance / exact)
        spread = exact + (ratio * (self.buckets - exact)).long()
        return torch.where(distance < exact, distance, spread.clamp_max(self.buckets - 1))

    def encode(self, positions: Int[Tensor, "*batch time"], num_keys: int) -> Encoding:
        by_distance = self.table[self.bucket(torch.arange(num_keys, device=positions.device))].t()  # (H, K)
        distance = distances(positions, num_keys).clamp_min(0)  # ([B,] T, K)
        # index_select, for its backward is far faster than that of an embedding or of indexing
        bias = by_distance.index_select(1, distance.flatten()).unflatten(1, distance.shape)
        return Encoding(bias=heads_first(bias))

    def flops(self, seq_len: int) -> Flops:
        # one addition a head and visible key in every layer; the look-up is a look-up
        return Flops(rotation=self.shape.n_layers * self.shape.n_heads * causal_keys(seq_len))
