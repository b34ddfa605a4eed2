"""What an arm costs, counted by structure on the meta device: FLOPs, parameters and bytes per module.

Conventions (docs/design.md): one multiply-add is 2 FLOPs; training is 3 times forward for matmul, attention,
conv and router terms; attention is causal; embedding lookups count 0; optimizer and auxiliary-loss FLOPs are
not counted; norms, activations and rotations are counted apart. Model FLOPs are what is matched; hardware FLOPs
add the masked part of the scores, which a kernel that computes the full square does too. Formulas: definitions 3.1,
checked against an operation-level count of every variant in tests/plan/test_profile.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import add
from typing import Any

import torch
from torch import nn

from harness.plan.decode import CacheCost, LayerCache, cache_of_layers, layer_cache
from harness.plan.part_cost import BACKWARD, ModuleCost, PartCost, by_kind, part_cost, total_flops
from harness.plan.parts import ffn_of, forget_parts, parts
from harness.spec.spec import Spec
from variants.errors import UserError
from variants.slots import Flops


@dataclass(frozen=True)
class Ledger:
    """The cost of one spec; the modules sum to the totals. FLOPs and bytes are per token of a text of seq_len."""

    spec: Spec
    modules: tuple[ModuleCost, ...]
    flops: Flops
    total_params: int
    active_params: int
    non_embedding_params: int
    decode_flops_per_token: float | None  # None where a variant cannot decode
    cache: CacheCost | None

    @property
    def training_flops_per_token(self) -> float:
        return (1 + BACKWARD) * self.flops.model

    @property
    def hardware_flops_per_token(self) -> float:
        """Training FLOPs of kernels that compute the full square of scores; no recomputation."""
        return (1 + BACKWARD) * (self.flops.model + self.flops.attention_masked)

    @property
    def num_params(self) -> dict[str, int]:
        """total; active, those one token touches; non_embedding, total without token and position tables."""
        return {"total": self.total_params, "active": self.active_params, "non_embedding": self.non_embedding_params}

    def to_json(self) -> dict[str, Any]:
        return {
            "spec": self.spec.to_json(),
            "num_params": self.num_params,
            "training_flops_per_token": self.training_flops_per_token,
            "hardware_flops_per_token": self.hardware_flops_per_token,
            "forward_flops_per_token": by_kind(self.flops),
            "decode_flops_per_token": self.decode_flops_per_token,
            "kv_cache_bytes_per_token": self.cache.bytes_per_token if self.cache else None,
            "kv_cache_bytes_at_context": self.cache.bytes_at_context if self.cache else None,
            "modules": [m.to_json(self.spec.seq_len) for m in self.modules],
        }


@lru_cache(maxsize=4096)
def count(spec: Spec) -> Ledger:
    """The ledger of a spec. Nothing is allocated, and a part that another spec has too is not counted again.

    Raises:
        UserError: a variant refuses the sizes, or holds a matrix whose FLOPs it does not declare.
    """
    found = list(parts(spec))
    costs = [(at, _cost_at(at, module, spec.seq_len)) for at, module in found]
    modules = tuple(_in_model(at, module, spec) for at, part in costs for module in part.modules)
    total = sum(m.num_params for m in modules)
    cache = _cache(dict(found), spec)
    return Ledger(
        spec,
        modules,
        flops=total_flops(modules),
        total_params=total,
        active_params=total - sum(part.num_idle for _, part in costs),
        non_embedding_params=total - sum(part.num_in_tables for _, part in costs),
        decode_flops_per_token=reduce(add, (n for _, part in costs for n in part.decode), 0.0) if cache else None,
        cache=cache,
    )


def quantity_of_ffns(spec: Spec, name: str) -> float:
    """What of `training_flops_per_token`, `total_params` or `active_params` the FFNs of all layers are. Raises as
    `count`.
    """
    costs = ((part_cost(ffn_of(layer), "ffn", spec.seq_len), n) for layer, n in spec.layer_counts().items())
    return sum(n * cost.quantity(name) for cost, n in costs)


def _cost_at(at: str, module: nn.Module, seq_len: int) -> PartCost:
    """The cost of a part under the last word of its name, which is the same in all layers."""
    return part_cost(module, at.rpartition(".")[2], seq_len)


def _in_model(at: str, cost: ModuleCost, spec: Spec) -> ModuleCost:
    """A module of the part `at` under its whole name."""
    # a tied matrix belongs to the embedding; the head only does the FLOPs
    num_params = 0 if spec.tied_head and at == "head" else cost.num_params
    prefix = at.rpartition(".")
    return ModuleCost(prefix[0] + prefix[1] + cost.name, cost.flops, num_params, cost.traffic)


def _cache(found: dict[str, nn.Module], spec: Spec) -> CacheCost | None:
    """None where a variant cannot decode; it says so when it is asked for a state."""
    layers = (f"layers.{i}." for i in range(spec.n_layers))
    try:
        return cache_of_layers(
            [_layer_cache(found[f"{at}attention"], found[f"{at}ffn"], spec.seq_len) for at in layers]
        )
    except UserError:
        return None


@lru_cache(maxsize=4096)
def _layer_cache(attention: nn.Module, ffn: nn.Module, seq_len: int) -> LayerCache:
    return layer_cache((attention, ffn), seq_len, like=torch.empty(0, device="meta"))


def forget() -> None:
    """Forget what was counted and built before: for whoever times a count, or looks at what it builds."""
    for remembered in (count, part_cost, _layer_cache):
        remembered.cache_clear()
    forget_parts()
