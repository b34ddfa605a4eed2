"""OLMoE's mixture of experts (Muennighoff et al. 2024, arXiv:2409.02060): the weights are not renormalised."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from variants.ffn._mixture import Mixture, Routing, most_likely, softmax_over_experts
from variants.registry import register
from variants.slots import MakeActivation, Shape


@register("ffn", "olmoe")
class OLMoE(Mixture):
    """OLMoE: y = sum over the top_k experts of p_i FFN_i(x), p = softmax(router x), not renormalised. arXiv:2409.02060.

    Dropless. Muennighoff et al. 2024; with a sigmoid-gated shared expert beside it, it would be Qwen2-MoE.

    Args:
        num_experts: experts in each layer, E; OLMoE-1B-7B has 64.
        top_k: experts each token visits; there 8.
        balance: weight of the load-balance loss (`_balance.py`); 1e-2 there.
        z_loss: weight of the router z-loss; 1e-3 there.
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
        return most_likely(softmax_over_experts(logits), self.top_k, renormalise=False)
