"""Mixture of experts with a top-k softmax router (Shazeer et al. 2017, arXiv:1701.06538; Mixtral, arXiv:2401.04088)."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from variants.errors import UserError
from variants.registry import register
from variants.slots import Activation, Flops, Linear, MakeActivation, Role, Shape


class ExpertLinear(nn.Module):
    """One matrix an expert, weight (num_experts, fan_out, fan_in); called with one expert's tokens."""

    counted_by_parent = True  # how many tokens come is the parent's to know

    def __init__(self, num_experts: int, fan_in: int, fan_out: int, *, role: Role = "input") -> None:
        super().__init__()
        self.role: Role = role
        self.weight = nn.Parameter(torch.empty(num_experts, fan_out, fan_in))

    def forward(self, x: Tensor, expert: int) -> Tensor:
        return F.linear(x, self.weight[expert])


@register("ffn", "moe")
class MoE(nn.Module):
    """MoE: y = sum over the top_k experts of w_i FFN_i(x), w = softmax of the top_k router logits; dropless.

    Router logits are fp32 and have no bias; no token is dropped, so a token's output does not
    depend on its batch. Shazeer et al. 2017, arXiv:1701.06538; Jiang et al. 2024, arXiv:2401.04088.
    The load-balance loss is E sum_i f_i P_i, f_i the share of the top_k choices that fell on
    expert i, P_i its mean router probability: 1 when uniform (Fedus et al. 2021, arXiv:2101.03961,
    equation 4, with f divided by top_k). It is averaged over layers, never pooled across them.

    Args:
        num_experts: experts in each layer, E.
        top_k: experts each token visits.
        balance: weight of the load-balance loss; 1e-2 as in Switch.
    """

    def __init__(
        self,
        shape: Shape,
        make_activation: MakeActivation,
        *,
        num_experts: int = 8,
        top_k: int = 2,
        balance: float = 1e-2,
    ) -> None:
        super().__init__()
        if not 1 <= top_k <= num_experts:
            raise UserError(f"ffn.top_k must lie in 1..num_experts = {num_experts}, got {top_k}")
        self.shape, self.num_experts, self.top_k, self.balance = shape, num_experts, top_k, balance
        self.activation = make_activation()
        self.gated = cast("Activation", self.activation).num_projections == 2
        self.router = Linear(shape.d_model, num_experts, bias=False, role="router")
        if self.gated:
            self.gate = ExpertLinear(num_experts, shape.d_model, shape.d_ff)
        self.up = ExpertLinear(num_experts, shape.d_model, shape.d_ff)
        self.down = ExpertLinear(num_experts, shape.d_ff, shape.d_model, role="output")
        self.auxiliary_loss: Tensor | None = None

    def forward(self, x: Float[Tensor, "batch time d_model"]) -> Float[Tensor, "batch time d_model"]:
        tokens = x.flatten(0, 1)  # (N, D)
        logits = F.linear(tokens.float(), self.router.weight.float())  # (N, E)
        chosen_logits, chosen = logits.topk(self.top_k, dim=-1)  # (N, k)
        weights = chosen_logits.softmax(dim=-1).to(x.dtype)
        if self.training:
            self.auxiliary_loss = self.balance / self.shape.n_layers * self._imbalance(logits, chosen)
        return self._combine(tokens, weights, chosen).view_as(x)

    def _combine(self, tokens: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
        """Sort the N*k visits by expert, run each expert on its slice, add the weighted results."""
        order = chosen.flatten().argsort(stable=True)  # visits sorted by expert
        visitor = order // self.top_k
        counts = chosen.flatten().bincount(minlength=self.num_experts).tolist()
        visits = tokens[visitor].split(counts)
        outputs = torch.cat([self._expert(visit, i) for i, visit in enumerate(visits)])
        outputs = outputs * weights.flatten()[order, None]
        return torch.zeros_like(tokens).index_add_(0, visitor, outputs)

    def _expert(self, x: Tensor, i: int) -> Tensor:
        up = self.up(x, i)
        return self.down(self.activation(self.gate(x, i), up) if self.gated else self.activation(up), i)

    def _imbalance(self, logits: Tensor, chosen: Tensor) -> Tensor:
        share = chosen.flatten().bincount(minlength=self.num_experts).to(logits.dtype) / chosen.numel()
        return self.num_experts * (share * logits.softmax(dim=-1).mean(dim=0)).sum()

    def flops(self, seq_len: int) -> Flops:
        matrices = 3 if self.gated else 2
        units = self.top_k * self.shape.d_ff
        # the router's own multiply-adds are counted by its Linear
        return Flops(
            matmul=2.0 * matrices * self.shape.d_model * units,
            activation=units * cast("Activation", self.activation).flops_per_unit,
        )

    def idle_params(self) -> int:
        """Parameters that one token does not touch: those of the experts it does not visit."""
        matrices = 3 if self.gated else 2
        return (self.num_experts - self.top_k) * matrices * self.shape.d_model * self.shape.d_ff
