"""What every mixture of experts shares: the router, the losses, the statistics, the count. A style says only how
router logits become choices and weights, in `route`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from variants.errors import UserError
from variants.ffn._balance import load_balance_loss, load_statistics, router_z_loss
from variants.ffn._experts import Experts
from variants.ffn.dense import Dense
from variants.slots import Flops, Linear, MakeActivation, Shape


@dataclass(frozen=True)
class Routing:
    """Where the tokens go. `probabilities` sum to 1 over experts and are what the balance loss calls P.

    A choice of `num_experts` is a refused visit. `wanted` are the choices before any was refused.
    """

    weights: Float[Tensor, "batch time top_k"]
    chosen: Int[Tensor, "batch time top_k"]
    probabilities: Float[Tensor, "batch time experts"]
    wanted: Int[Tensor, "batch time top_k"]


class Mixture(Experts):
    """y = sum over the chosen experts of w_i FFN_i(x), plus one shared FFN of width n_shared * d_ff.

    Router logits are fp32 (fp64 in an fp64 model) and have no bias. After each forward `load` (num_experts,) holds
    the visits that were asked for and `refused` () the share of them that was dropped, both detached; after a
    training forward `auxiliary_loss` holds this layer's share of the losses, weighted and divided by n_layers.

    Args:
        num_experts: routed experts in each layer, E.
        top_k: routed experts each token visits.
        n_shared: experts that every token visits, with weight 1; fused, as they are one wider FFN.
        balance: weight of the load-balance loss.
        z_loss: weight of the router z-loss.
        per_sequence: whether the load-balance loss looks at each sequence, or at the whole batch.
    """

    def __init__(
        self,
        shape: Shape,
        make_activation: MakeActivation,
        *,
        num_experts: int,
        top_k: int,
        n_shared: int = 0,
        balance: float = 0.0,
        z_loss: float = 0.0,
        per_sequence: bool = False,
    ) -> None:
        if num_experts < 1:
            raise UserError(f"ffn.num_experts must be at least 1, got {num_experts}")
        if not 1 <= top_k <= num_experts:
            raise UserError(f"ffn.top_k must lie in 1..num_experts = {num_experts}, got {top_k}")
        if n_shared < 0:
            raise UserError(f"ffn.n_shared must be 0 or more, got {n_shared}")
        super().__init__(shape, make_activation, num_experts)
        self.visits: float = top_k
        self.top_k, self.balance, self.z_loss, self.per_sequence = top_k, balance, z_loss, per_sequence
        self.router = Linear(shape.d_model, num_experts, bias=False, role="router")
        shared_shape = replace(shape, d_ff=n_shared * shape.d_ff)
        self.shared = Dense(shared_shape, make_activation) if n_shared else None
        self.auxiliary_loss: Tensor | None = None
        self.load = torch.zeros(num_experts, dtype=torch.int64)
        self.refused = torch.zeros(())

    def route(self, logits: Float[Tensor, "batch time experts"]) -> Routing:
        raise NotImplementedError

    def forward(self, x: Float[Tensor, "batch time d_model"]) -> Float[Tensor, "batch time d_model"]:
        logits = self.logits(x)
        return self.follow(x, logits, self.route(logits))

    def logits(self, x: Float[Tensor, "batch time d_model"]) -> Float[Tensor, "batch time experts"]:
        """Router logits in fp32 or better, autocast or not."""
        dtype = torch.promote_types(x.dtype, torch.float32)
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(x.to(dtype), self.router.weight.to(dtype))

    def follow(
        self, x: Float[Tensor, "batch time d_model"], logits: Tensor, routing: Routing
    ) -> Float[Tensor, "batch time d_model"]:
        """Send the tokens along a routing; leave the losses and the load behind."""
        chosen, weights = routing.chosen.flatten(0, 1), routing.weights.flatten(0, 1).to(x.dtype)
        y, load = self.mix(x.flatten(0, 1), weights, chosen)
        self.load, self.refused = load[:-1], load[-1] / chosen.numel()
        if routing.wanted is not routing.chosen:
            self.load = routing.wanted.flatten().bincount(minlength=self.num_experts)
        self.auxiliary_loss = self.losses(logits, routing) if self.training else None
        y = y.view_as(x)
        return y if self.shared is None else y + self.shared(x)

    def losses(self, logits: Tensor, routing: Routing) -> Tensor | None:
        """This layer's share of the mean over layers; None when both weights are 0."""
        losses = []
        if self.balance:
            groups = (routing.probabilities, routing.wanted)
            if not self.per_sequence:
                groups = tuple(g.flatten(0, 1)[None] for g in groups)
            losses.append(self.balance * load_balance_loss(*groups, over_batch=not self.per_sequence))
        if self.z_loss:
            losses.append(self.z_loss * router_z_loss(logits))
        return sum(losses[1:], losses[0]) / self.shape.n_layers if losses else None

    def balance_statistics(self) -> dict[str, float]:
        """Of the last forward: `load_statistics` in `variants/ffn/_balance.py` says what each number is."""
        return load_statistics(self.load, self.refused.item())

    def flops(self, seq_len: int) -> Flops:
        return self.expert_flops(self.visits)

    def idle_params(self) -> int:
        """Parameters that one token does not touch: those of the routed experts it does not visit."""
        return round((self.num_experts - self.visits) * self.params_per_expert())


def softmax_over_experts(logits: Float[Tensor, "... experts"]) -> Float[Tensor, "... experts"]:
    """Softmax over the last dimension, with the experts outermost in memory: they are few, and torch's CPU kernel
    for a short last dimension takes 20 times as long (0.5 ms against 0.03 for 4,096 tokens and 8 experts; measured).
    """
    return logits.movedim(-1, 0).softmax(dim=0).movedim(0, -1)


def most_likely(probabilities: Float[Tensor, "batch time experts"], top_k: int, *, renormalise: bool) -> Routing:
    """The top_k experts with their probabilities as weights, made to sum to 1 or not."""
    weights, chosen = probabilities.topk(top_k, dim=-1)
    if renormalise:
        weights = weights / weights.sum(dim=-1, keepdim=True)
    return Routing(weights, chosen, probabilities, wanted=chosen)


def check_groups(num_experts: int, top_k: int, n_group: int, topk_group: int) -> None:
    """Raise `UserError` unless top_k experts can be found in topk_group of n_group equal groups."""
    if n_group < 1 or num_experts % n_group:
        raise UserError(f"ffn.n_group must divide num_experts = {num_experts}, got {n_group}")
    if not 1 <= topk_group <= n_group:
        raise UserError(f"ffn.topk_group must lie in 1..n_group = {n_group}, got {topk_group}")
    if top_k > topk_group * (num_experts // n_group):
        raise UserError(
            f"ffn.top_k = {top_k} experts cannot be found in {topk_group} groups of {num_experts // n_group}; "
            "raise ffn.topk_group"
        )


def outside_best_groups(scores: Float[Tensor, "... experts"], n_group: int, topk_group: int, best: int) -> Tensor:
    """True for experts outside the topk_group groups whose `best` highest scores have the largest sum.

    DeepSeek's device- or node-limited routing: best = 1 in V2 (arXiv:2405.04434), 2 in V3 (arXiv:2412.19437).
    """
    grouped = scores.unflatten(-1, (n_group, -1))  # (..., n_group, experts a group)
    strength = grouped.topk(min(best, grouped.shape[-1]), dim=-1).values.sum(dim=-1)
    kept = strength.topk(topk_group, dim=-1).indices
    outside = torch.ones_like(strength, dtype=torch.bool).scatter_(-1, kept, False)
    return outside.repeat_interleave(grouped.shape[-1], dim=-1)
