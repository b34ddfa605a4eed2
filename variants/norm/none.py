"""No norm (the networks of Zhang, Dauphin and Ma 2019, Fixup, arXiv:1901.09321, have none)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from variants.registry import register
from variants.slots import Flops


@register("norm", "none")
class NoNorm(nn.Module):
    """None: y = x. Zhang, Dauphin and Ma 2019 (Fixup), arXiv:1901.09321.

    Without a norm the residual stream must be kept in bounds by its initial values: residual
    branches that start small, by 1/sqrt(2 n_layers) or less. The harness starts every `output`
    matrix so, for all arms alike; with residual=post or reordered nothing else is left of the
    placement, and a smaller learning rate is usually needed.
    """

    def __init__(self, size: int) -> None:
        super().__init__()

    def forward(self, x: Float[Tensor, "... size"]) -> Float[Tensor, "... size"]:
        return x

    def flops(self, seq_len: int) -> Flops:
        return Flops()
