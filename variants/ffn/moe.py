"""Mixture of experts with a top-k softmax router (Shazeer et al. 2017, arXiv:1701.06538; Mixtral, arXiv:2401.04088)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from variants.ffn._mixture import Mixture, Routing, most_likely, softmax_over_experts
from variants.registry import register
from variants.slots import MakeActivation, Shape


@register("ffn", "moe")
class MoE(Mixture):
    """MoE: y = sum over the top_k experts of w_i FFN_i(x), w = softmax of the top_k router logits. arXiv:1701.06538.

    Dropless: a token's output does not depend on its batch. With top_k = 1 the weight is always 1 and the router
    learns from the balance loss alone. Shazeer et al. 2017, without its noise; Jiang et al. 2024, arXiv:2401.04088.

    Args:
        num_experts: experts in each layer, E.
        top_k: experts each token visits.
        balance: weight of the load-balance loss (`_balance.py`); 1e-2 as in Switch.
        z_loss: weight of the router z-loss.
    """

    def __init__(
        self,
        shape: Shape,
        make_activation: MakeActivation,
        *,
        num_experts: int = 8,
        top_k: int = 2,
        balance: float = 1e-2,
        z_loss: float = 0.0,
    ) -> None:
        super().__init__(shape, make_activation, num_experts=num_experts, top_k=top_k, balance=balance, z_loss=z_loss)

    def route(self, logits: Float[Tensor, "batch time experts"]) -> Routing:
        return most_likely(softmax_over_experts(logits), self.top_k, renormalise=True)
