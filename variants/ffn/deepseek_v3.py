"""DeepSeek-V3's mixture of experts: balanced by a bias, not by a loss (DeepSeek-AI 2024, arXiv:2412.19437)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from variants.errors import UserError
from variants.ffn._mixture import Mixture, Routing, check_groups, outside_best_groups
from variants.registry import register
from variants.slots import MakeActivation, Shape
from variants.whole_batch import sum_over_batch

TINY = 1e-20
"""Added to a sum of sigmoids before it divides, as in DeepSeek's released code."""


@register("ffn", "deepseek_v3")
class DeepSeekV3(Mixture):
    """DeepSeek-V3: s = sigmoid(router x), top_k of s + b, y = shared + scaling * sum s_i / sum s FFN_i. 2412.19437.

    The bias b chooses and never weighs. It has no gradient: after each step b_i <- b_i - bias_rate * sign(load_i - mean
    load), from the load of the training forwards since the last step (Wang et al. 2024, arXiv:2408.15664, algorithm 1).
    A tiny balance loss looks at each sequence (equations 17 to 20), with P the mean of s / sum s and f counting the
    experts visited, that is, chosen with b.

    Args:
        num_experts: routed experts in each layer; 256 in DeepSeek-V3.
        top_k: routed experts each token visits; there 8.
        n_shared: shared experts, fused into one FFN of width n_shared * d_ff; there 1.
        routed_scaling: factor on the routed sum; there 2.5.
        n_group, topk_group: node-limited routing: the topk_group best of n_group groups are allowed; there 4 of 8.
        bias_rate: step of the bias, gamma; 1e-3 there.
        balance: weight of the sequence-wise balance loss; 1e-4 there.
        z_loss: weight of the router z-loss.
    """

    selection_bias: Tensor
    step_load: Tensor

    def __init__(
        self,
        shape: Shape,
        make_activation: MakeActivation,
        *,
        num_experts: int = 15,
        top_k: int = 3,
        n_shared: int = 1,
        routed_scaling: float = 1.0,
        n_group: int = 1,
        topk_group: int = 1,
        bias_rate: float = 1e-3,
        balance: float = 1e-4,
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
        if bias_rate < 0:
            raise UserError(f"ffn.bias_rate must be 0 or more, got {bias_rate}")
        self.routed_scaling, self.n_group, self.topk_group = routed_scaling, n_group, topk_group
        self.bias_rate = bias_rate
        self.register_buffer("selection_bias", torch.zeros(num_experts))
        self.register_buffer("step_load", torch.zeros(num_experts, dtype=torch.int64), persistent=False)

    def route(self, logits: Float[Tensor, "batch time experts"]) -> Routing:
        s = logits.sigmoid()
        preference = s.detach() + self.selection_bias
        if self.topk_group < self.n_group:
            outside = outside_best_groups(preference, self.n_group, self.topk_group, best=2)
            preference = preference.masked_fill(outside, -torch.inf)
        chosen = preference.topk(self.top_k, dim=-1).indices
        weights = s.gather(-1, chosen)
        weights = self.routed_scaling * weights / (weights.sum(dim=-1, keepdim=True) + TINY)
        return Routing(weights, chosen, s / (s.sum(dim=-1, keepdim=True) + TINY), wanted=chosen)

    def forward(self, x: Float[Tensor, "batch time d_model"]) -> Float[Tensor, "batch time d_model"]:
        y = super().forward(x)
        if self.training:
            self.step_load += self.load
        return y

    def after_step(self) -> None:
        """Lower the bias of the experts above the mean load, raise the others'; begin a new count."""
        load = sum_over_batch(self.step_load).double()
        self.selection_bias -= self.bias_rate * (load - load.mean()).sign().to(self.selection_bias.dtype)
        self.step_load.zero_()
