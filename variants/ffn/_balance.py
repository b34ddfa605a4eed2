"""Load balance of a mixture of experts: the losses that ask for it, and the numbers that say whether it is there.

Every loss is of one layer. Pooling f and P over layers before their product, as transformers does for the Mixtral
family, calls two layers that collapsed on different experts perfectly balanced.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from variants.whole_batch import parts_of_batch, sum_over_batch


def load_balance_loss(
    probabilities: Float[Tensor, "groups tokens experts"],
    chosen: Int[Tensor, "groups tokens top_k"],
    *,
    over_batch: bool = False,
) -> Float[Tensor, ""]:
    """E sum_i f_i P_i, the mean over groups; 1 when uniform, E / top_k when collapsed on top_k experts.

    f_i is the share of a group's choices that fell on expert i, P_i its mean router probability. Fedus et al.
    2021, arXiv:2101.03961, equations 4 to 6, with f divided by top_k as in DeepSeekMoE (Dai et al. 2024,
    arXiv:2401.06066, equations 12 to 14). Gradients flow through P alone.

    With `over_batch` the one group is the batch, and f that of the whole of it where processes have parts: the mean of
    what they return is then the loss of the whole batch, since P is a mean.
    """
    num_experts = probabilities.shape[-1]
    visits = chosen.flatten(1)
    load = (visits[..., None] == torch.arange(num_experts, device=visits.device)).sum(dim=1).to(probabilities.dtype)
    num_visits = visits.shape[1]
    if over_batch:
        load, num_visits = sum_over_batch(load), parts_of_batch() * num_visits
    return num_experts * (load / num_visits * probabilities.mean(dim=1)).sum(dim=-1).mean()


def router_z_loss(logits: Float[Tensor, "... experts"]) -> Float[Tensor, ""]:
    """mean over tokens of logsumexp(logits)^2. Zoph et al. 2022, ST-MoE, arXiv:2202.08906, equation 5."""
    return logits.logsumexp(dim=-1).square().mean()


def load_statistics(load: Int[Tensor, "experts"], drop_rate: float) -> dict[str, float]:
    """How even a load is. Reading it waits for the device.

    Returns:
        max_violation: largest load over the mean, minus 1 (MaxVio, Wang et al. 2024, arXiv:2408.15664); 0 is even.
        load_entropy: entropy of the load as a share of log E; 1 is even.
        dead_experts: share of the experts that nobody visited.
        drop_rate: share of the visits that were refused.
    """
    num_experts = len(load)
    share = load.double() / load.sum().clamp(min=1)
    entropy = -torch.special.xlogy(share, share).sum()
    return {
        "max_violation": (share.max() * num_experts - 1).item(),
        "load_entropy": (entropy / math.log(num_experts)).item() if num_experts > 1 else 1.0,
        "dead_experts": (load == 0).double().mean().item(),
        "drop_rate": drop_rate,
    }
