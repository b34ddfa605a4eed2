"""Expert choice: experts choose tokens (Zhou et al. 2022, arXiv:2202.09368). It looks at later tokens, so it leaks."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from variants.errors import UserError
from variants.ffn._mixture import Mixture, softmax_over_experts
from variants.registry import register
from variants.slots import MakeActivation, Shape, State


@register("ffn", "expert_choice")
class ExpertChoice(Mixture):
    """Expert choice: each expert takes its C likeliest tokens of the batch, y = sum p_i FFN_i(x). arXiv:2202.09368.

    C = ceil(tokens * capacity / num_experts), p = softmax(router x). Whether a token is taken depends on the tokens
    after it and on the other sequences of the batch, so the loss of a causal language model is not valid: it must be
    asked for with leaks=true. It cannot decode. Zhou et al. 2022. `drop_rate` is the share of tokens nobody took.

    Args:
        num_experts: experts in each layer, E.
        capacity: experts that take a token, on average; 2 in the paper.
        leaks: whether the user accepts that it sees the future.
    """

    leaks = True  # harness.testing.contract: must be refused by default, is not checked for causality
    contract_options: ClassVar[dict[str, bool]] = {"leaks": True}

    def __init__(
        self,
        shape: Shape,
        make_activation: MakeActivation,
        *,
        num_experts: int = 8,
        capacity: float = 2.0,
        leaks: bool = False,
    ) -> None:
        if not leaks:
            raise UserError(
                "ffn=expert_choice lets experts choose among all tokens of a batch, later ones too, so its perplexity "
                "is not valid; set ffn.leaks=true to train it all the same, got leaks=false"
            )
        if not 0 < capacity <= num_experts:
            raise UserError(f"ffn.capacity must lie in 0..num_experts = {num_experts}, got {capacity}")
        super().__init__(shape, make_activation, num_experts=num_experts, top_k=1)
        self.visits = capacity

    def forward(self, x: Float[Tensor, "batch time d_model"]) -> Float[Tensor, "batch time d_model"]:
        tokens = x.flatten(0, 1)  # (N, D)
        probabilities = softmax_over_experts(self.logits(x)).flatten(0, 1)  # (N, E)
        size = math.ceil(len(tokens) * self.visits / self.num_experts)
        weights, taken = probabilities.t().topk(size, dim=1)  # (E, C)
        outputs = torch.cat(self.run([tokens.index_select(0, t) for t in taken]))  # (E C, D)
        y = torch.zeros_like(tokens).index_add_(0, taken.flatten(), outputs * weights.to(x.dtype).flatten()[:, None])
        visits = taken.flatten().bincount(minlength=len(tokens))
        self.load, self.refused = torch.full_like(taken[:, 0], size), (visits == 0).float().mean()
        return y.view_as(x)

    def new_state(self, batch_size: int, max_len: int, like: Tensor) -> State:
        raise UserError(
            "ffn=expert_choice cannot decode: which tokens an expert takes is known when the text has ended"
        )
