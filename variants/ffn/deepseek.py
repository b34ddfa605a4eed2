"""DeepSeekMoE: fine-grained and shared experts (Dai et al. 2024, arXiv:2401.06066; V2, arXiv:2405.04434)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from variants.errors import UserError
from variants.ffn._mixture import Mixture, Routing, check_groups, outside_best_groups, softmax_over_experts
from variants.registry import register
from variants.slots import MakeActivation, Shape


@register("ffn", "deepseek")
class DeepSeek(Mixture):
    """DeepSeekMoE: y = sum of shared FFN_j(x) + scaling * sum over the top_k of p_i FFN_i(x). Dai 2024, 2401.06066.

    p = softmax(router x) over the routed experts, renormalised over the chosen ones only if asked. The shared
    experts are fused: they are one FFN of width n_shared * d_ff. The balance loss is equations 12 to 14, for each
    sequence. The defaults are `ffn=moe`'s 8 experts and top 2 cut in halves (m = 2), one of the 16 shared: at half
    the d_ff the same total and active size.

    Args:
        num_experts: routed experts in each layer.
        top_k: routed experts each token visits.
        n_shared: shared experts.
        renormalise: whether the weights are divided by their sum, as in MiniMind; not in DeepSeek.
        routed_scaling: factor on the routed sum; 16 in DeepSeek-V2.
        n_group, topk_group: V2's device-limited routing: the topk_group best of n_group groups are allowed.
        balance: weight of the load-balance loss; alpha_1 = 1e-2 in the paper's 2B model.
        z_loss: weight of the router z-loss.
    """

    def __init__(
        self,
        shape: Shape,
        make_activation: MakeActivation,
        *,
        num_experts: int = 15,
        top_k: int = 3,
        n_shared: int = 1,
        renormalise: bool = False,
        routed_scaling: float = 1.0,
        n_group: int = 1,
        topk_group: int = 1,
        balance: float = 1e-2,
        z_loss: float = 0.0,
    ) -> None:
        super().__init__(
            shape,
            make_activation,
            num_experts=num_experts,
            top_k=top_k,
            n_shared=n_shared,
            balance=balance,
            z_loss=z_loss,
            per_sequence=True,
        )
        check_groups(num_experts, top_k, n_group, topk_group)
        if routed_scaling <= 0:
            raise UserError(f"ffn.routed_scaling must be positive, got {routed_scaling}")
        self.renormalise, self.routed_scaling = renormalise, routed_scaling
        self.n_group, self.topk_group = n_group, topk_group

    def route(self, logits: Float[Tensor, "batch time experts"]) -> Routing:
        p = softmax_over_experts(logits)
        allowed = p
        if self.topk_group < self.n_group:
            allowed = p.masked_fill(outside_best_groups(p.detach(), self.n_group, self.topk_group, best=1), 0.0)
        weights, chosen = allowed.topk(self.top_k, dim=-1)
        if self.renormalise:
            weights = weights / weights.sum(dim=-1, keepdim=True)
        return Routing(self.routed_scaling * weights, chosen, p, wanted=chosen)
