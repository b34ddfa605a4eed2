"""Switch Transformer's mixture of experts: top-1 routing with a capacity (Fedus et al. 2021, arXiv:2101.03961)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from variants.errors import UserError
from variants.ffn._mixture import Mixture, Routing, most_likely, softmax_over_experts
from variants.registry import register
from variants.slots import MakeActivation, Shape, State


@register("ffn", "switch")
class Switch(Mixture):
    """Switch: y = p_i FFN_i(x), i = argmax p, p = softmax(router x), not renormalised. Fedus 2021, arXiv:2101.03961.

    With a capacity each expert serves at most C = ceil(capacity * seq_len / num_experts) tokens of a group; who comes
    later gets y = 0 and the residual passes. A group is seq_len consecutive tokens of one sequence, seq_len being the
    training length whatever the text's, and the order is first come, first served, as transformers' Switch counts it
    within a sequence (the paper counts over the tokens of a core). So a token's fate depends on no later token and on
    no other sequence, and decoding, which remembers the count, agrees with a full pass. No input jitter.

    Args:
        num_experts: experts in each layer, E.
        capacity: the capacity factor; None (or inf) drops nothing.
        balance: weight of the load-balance loss over what the tokens asked for; alpha = 1e-2 in the paper.
        z_loss: weight of the router z-loss.
    """

    def __init__(
        self,
        shape: Shape,
        make_activation: MakeActivation,
        *,
        num_experts: int = 8,
        capacity: float | None = None,
        balance: float = 1e-2,
        z_loss: float = 0.0,
    ) -> None:
        super().__init__(shape, make_activation, num_experts=num_experts, top_k=1, balance=balance, z_loss=z_loss)
        if capacity is not None and not capacity > 0:
            raise UserError(f"ffn.capacity must be positive, or none to drop nothing, got {capacity}")
        self.capacity = capacity

    @property
    def limit(self) -> int | None:
        """Tokens of a group that one expert serves, C; None without end."""
        if self.capacity is None or math.isinf(self.capacity):
            return None
        # 1e-9: a product that is an integer but for rounding must not gain a place
        return math.ceil(self.capacity * self.shape.seq_len / self.num_experts - 1e-9)

    def route(self, logits: Float[Tensor, "batch time experts"]) -> Routing:
        return most_likely(softmax_over_experts(logits), 1, renormalise=False)

    def forward(
        self, x: Float[Tensor, "batch time d_model"], state: State | None = None
    ) -> Float[Tensor, "batch time d_model"]:
        logits = self.logits(x)
        routing = self.route(logits)
        limit = self.limit
        if limit is not None:
            late = self._rank(routing.wanted.squeeze(-1), state) > limit
            routing = self._refuse(routing, late)
        return self.follow(x, logits, routing)

    def _rank(self, wanted: Int[Tensor, "batch time"], state: State | None) -> Int[Tensor, "batch time"]:
        """1 for the first token of its group that asked for its expert, 2 for the second, and so on."""
        visits = F.one_hot(wanted, self.num_experts)  # (B, T, E)
        before = torch.zeros_like(visits[:, :1]) if state is None else state["count"][:, None]
        count = torch.cat((before, visits), dim=1).cumsum(dim=1)  # (B, T+1, E), up to and without each token
        seen = 0 if state is None else int(state["seen"][0])
        index = torch.arange(wanted.shape[1], device=wanted.device)
        start = index - (seen + index) % self.shape.seq_len  # where its group began; negative: before this pass
        at_start = count[:, start.clamp(min=0)] * (start >= 0)[:, None]
        count = count[:, 1:] - at_start  # (B, T, E), since the group began
        if state is not None:
            state["count"] = count[:, -1]
            state["seen"] = state["seen"] + wanted.shape[1]
        return count.gather(2, wanted[..., None]).squeeze(-1)

    def _refuse(self, routing: Routing, late: Bool[Tensor, "batch time"]) -> Routing:
        chosen = routing.wanted.masked_fill(late[..., None], self.num_experts)
        return Routing(routing.weights, chosen, routing.probabilities, routing.wanted)

    def new_state(self, batch_size: int, max_len: int, like: Tensor) -> State:
        """The tokens each expert has served in the present group, and the tokens seen; nothing when dropless."""
        if self.limit is None:
            return {}
        count = like.new_zeros(batch_size, self.num_experts, dtype=torch.int64)
        return {"count": count, "seen": like.new_zeros(batch_size, dtype=torch.int64)}
