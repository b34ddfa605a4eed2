"""How far each key lies behind each query: what every bias on scores is a function of."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor


def distances(positions: Int[Tensor, "*batch queries"], num_keys: int) -> Int[Tensor, "*batch queries keys"]:
    """i - j for queries at positions i and keys j = 0..num_keys-1; negative for keys yet to come, which are masked."""
    return positions[..., None] - torch.arange(num_keys, device=positions.device)


def heads_first(bias: Tensor) -> Tensor:
    """(heads, [batch,] queries, keys) -> ([batch,] heads, queries, keys), as `Encoding.bias` has it."""
    return bias.movedim(0, -3)
