"""No positions, NoPE (Haviv et al. 2022, arXiv:2203.16634; Kazemnejad et al. 2023, arXiv:2305.19466)."""

from __future__ import annotations

from variants.registry import register
from variants.slots import Position, Shape


@register("position", "none")
class NoPE(Position):
    """NoPE: no position signal; the causal mask alone breaks the symmetry. Haviv et al. 2022, arXiv:2203.16634."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
