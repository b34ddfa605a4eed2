"""Is a mixture of experts used as one? Load of every expert and layer, MaxVio, entropy, dead experts, and what a
capacity would drop, over a text.

`load` counts the visits that tokens asked for. For a style with a capacity the same weights are run again at several
capacity factors: what is refused, and what that costs in nats per token.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.data.windows import evaluation_batches
from harness.model.transformer import Transformer
from variants.ffn._balance import load_statistics

CAPACITIES = (0.5, 1.0, 1.25, 1.5, 2.0, 4.0)
"""Capacity factors: Switch's 1.0 and 1.25 (arXiv:2101.03961, section 2.2), and around them."""

TOKENS_PER_BATCH = 8192
"""Tokens in one forward. Assumption: fits any device that trains the model."""


@dataclass(frozen=True)
class LayerHealth:
    """One mixture. `load` has the visits of each expert; the other numbers are defined in variants/ffn/_balance.py.

    `max_violation` 0 and `load_entropy` 1 are even; `dead_experts` and `drop_rate` are shares, 0 is best.
    """

    name: str
    load: tuple[int, ...]
    max_violation: float
    load_entropy: float
    dead_experts: float
    drop_rate: float


@dataclass(frozen=True)
class CapacityPoint:
    """The same weights at a capacity factor; None drops nothing. Lower is better, for all three numbers."""

    capacity: float | None
    drop_rate: float  # of all layers together
    layer_drop_rates: tuple[float, ...]
    nats_per_token: float


@dataclass(frozen=True)
class MoEHealth:
    """`layers` from the first; `capacity` is empty for a style without one; `num_tokens` that were read."""

    layers: tuple[LayerHealth, ...]
    capacity: tuple[CapacityPoint, ...]
    num_tokens: int

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def moe_health(
    model: Transformer,
    tokens: np.ndarray,
    *,
    capacities: Sequence[float | None] = (*CAPACITIES, None),
    num_tokens: int = 2**16,
) -> MoEHealth | None:
    """The health of a model's mixtures on the first `num_tokens` of a text; None where it has no mixture.

    Args:
        tokens: (tokens,) of a split, read in windows of the model's seq_len.
        capacities: factors to run a style with a capacity at; None drops nothing.
    """
    mixtures = mixtures_of(model)
    if not mixtures:
        return None
    tokens = tokens[: num_tokens + 1]
    own = _read(model, mixtures, tokens)
    points = []
    limited = {name: m for name, m in mixtures.items() if hasattr(m, "capacity")}
    for capacity in capacities if limited else ():
        with _capacity(limited.values(), capacity):
            at = _read(model, mixtures, tokens)
        drops = tuple(at.refused[name] / at.load[name].sum().item() for name in mixtures)
        refused, wanted = (sum(x) for x in (at.refused.values(), (int(v.sum()) for v in at.load.values())))
        points.append(CapacityPoint(capacity, refused / wanted, drops, at.nats_per_token))
    layers = tuple(_layer(name, own.load[name], own.refused[name]) for name in mixtures)
    return MoEHealth(layers, tuple(points), own.num_tokens)


def mixtures_of(model: Transformer) -> dict[str, nn.Module]:
    """The modules that route, by name, from the first layer."""
    return {name: m for name, m in model.named_modules() if name and hasattr(m, "balance_statistics")}


@dataclass(frozen=True)
class _Reading:
    load: dict[str, Tensor]  # (experts,) visits asked for
    refused: dict[str, float]  # visits
    nats_per_token: float
    num_tokens: int


@torch.no_grad()
def _read(model: Transformer, mixtures: dict[str, nn.Module], tokens: np.ndarray) -> _Reading:
    """One pass over the text; each mixture leaves its load and refusals behind after every forward."""
    model.eval()
    seq_len, device = model.spec.seq_len, model.embedding.weight.device
    load: dict[str, Tensor] = {}
    refused = dict.fromkeys(mixtures, 0.0)
    nats, read = 0.0, 0
    for inputs, targets, _ in evaluation_batches(tokens, seq_len, max(1, TOKENS_PER_BATCH // seq_len), device):
        logits = model(inputs)
        nats += F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="sum").item()
        read += targets.numel()
        for name, module in mixtures.items():
            seen = cast("Any", module)
            load[name] = seen.load.cpu() + load.get(name, 0)
            refused[name] += seen.refused.item() * int(seen.load.sum())
    return _Reading(load, refused, nats / read, read)


def _layer(name: str, load: Tensor, refused: float) -> LayerHealth:
    numbers = load_statistics(load, refused / max(1, int(load.sum())))
    return LayerHealth(name, tuple(int(n) for n in load), **numbers)


@contextlib.contextmanager
def _capacity(mixtures: Any, capacity: float | None) -> Iterator[None]:
    """Mixtures at another capacity factor while open."""
    before = [(m, m.capacity) for m in mixtures]
    try:
        for module, _ in before:
            module.capacity = capacity
        yield
    finally:
        for module, was in before:
            module.capacity = was
