"""The dense FFN with a low-rank branch beside it (LoRA; Hu et al. 2021, arXiv:2106.09685), trained jointly."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from variants.errors import UserError
from variants.ffn.dense import Dense
from variants.registry import register
from variants.slots import Linear, MakeActivation, Shape


@register("ffn", "lora")
class LoRA(Dense):
    """LoRA: y = FFN(x) + alpha / rank * B A x, B = 0 at the start, trained jointly. Hu et al. 2021, arXiv:2106.09685.

    A (rank, d_model), B (d_model, rank). Pointwise: it mixes no tokens. It tests the analogy of an adapter with
    MixFFN's convolution, and nothing here is frozen.

    Args:
        rank: width of the branch.
        alpha: scale of the branch, before it is divided by rank.
    """

    def __init__(self, shape: Shape, make_activation: MakeActivation, *, rank: int = 8, alpha: float = 8.0) -> None:
        if rank < 1:
            raise UserError(f"ffn.rank must be at least 1, got {rank}")
        super().__init__(shape, make_activation)
        self.scale = alpha / rank
        self.a = Linear(shape.d_model, rank, bias=False)
        self.b = Linear(rank, shape.d_model, bias=False, role="constant")
        nn.init.zeros_(self.b.weight)

    def forward(self, x: Float[Tensor, "batch time d_model"]) -> Float[Tensor, "batch time d_model"]:
        return super().forward(x) + self.scale * self.b(self.a(x))
