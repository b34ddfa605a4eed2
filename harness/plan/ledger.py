"""What an arm costs, counted by structure on the meta device: FLOPs and parameters per module.

Conventions (docs/design.md): one multiply-add is 2 FLOPs; training is 3 times forward for matmul, attention,
conv and router terms; attention is causal; embedding lookups count 0; optimizer and auxiliary-loss FLOPs are
not counted; norms, activations and rotations are counted apart. Formulas: docs/definitions in each variant.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, cast

import torch
from torch import nn

from harness.model.transformer import Transformer
from harness.spec.spec import Spec
from variants.errors import UserError
from variants.slots import Flops

BACKWARD = 2.0
"""Backward FLOPs over forward FLOPs of a matmul: one product for each of its two gradients."""


@dataclass(frozen=True)
class ModuleCost:
    """One module without its children: forward FLOPs per token and parameters it owns."""

    name: str
    flops: Flops
    num_params: int


@dataclass(frozen=True)
class Ledger:
    """The cost of one spec; the modules sum to the totals."""

    spec: Spec
    modules: tuple[ModuleCost, ...]
    flops: Flops
    total_params: int
    active_params: int
    non_embedding_params: int

    @property
    def training_flops_per_token(self) -> float:
        return (1 + BACKWARD) * self.flops.model

    @property
    def num_params(self) -> dict[str, int]:
        """total; active, those one token touches; non_embedding, total without token and position tables."""
        return {"total": self.total_params, "active": self.active_params, "non_embedding": self.non_embedding_params}

    def to_json(self) -> dict[str, Any]:
        return {
            "spec": self.spec.to_json(),
            "num_params": self.num_params,
            "training_flops_per_token": self.training_flops_per_token,
            "forward_flops_per_token": {f.name: getattr(self.flops, f.name) for f in fields(Flops)},
            "modules": [{"name": m.name, "flops": m.flops.model, "num_params": m.num_params} for m in self.modules],
        }


@lru_cache(maxsize=4096)
def count(spec: Spec) -> Ledger:
    """The ledger of a spec. Nothing is allocated.

    Raises:
        UserError: a variant refuses the sizes, or holds a matrix whose FLOPs it does not declare.
    """
    with torch.device("meta"):
        model = Transformer(spec, seed=None)
    modules = tuple(
        ModuleCost(name, own_flops(module, name, spec.seq_len), own_params(module))
        for name, module in model.named_modules(remove_duplicate=True)
        if name
    )
    if spec.tied_head:  # the shared matrix belongs to the embedding; the head only does the FLOPs
        modules = tuple(ModuleCost(m.name, m.flops, 0) if m.name == "head" else m for m in modules)
    total = sum(p.numel() for p in model.parameters())
    assert sum(m.num_params for m in modules) == total, "the parts must sum to the whole"
    idle = sum(cast("Any", m).idle_params() for m in model.having("idle_params"))
    tables = sum(p.numel() for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters())
    return Ledger(
        spec,
        modules,
        flops=sum((m.flops for m in modules), Flops()),
        total_params=total,
        active_params=total - idle,
        non_embedding_params=total - tables,
    )


def own_params(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters(recurse=False))


def own_flops(module: nn.Module, name: str, seq_len: int) -> Flops:
    """Forward FLOPs per token of a module beside its children's.

    A Linear is 2 fan_in fan_out; an embedding is a lookup, 0; any other module says so itself.
    """
    if hasattr(module, "flops"):
        return cast("Any", module).flops(seq_len)
    if isinstance(module, nn.Linear):
        products = 2.0 * module.in_features * module.out_features
        return Flops(router=products) if getattr(module, "role", None) == "router" else Flops(matmul=products)
    if isinstance(module, nn.Embedding) or not any(p.ndim > 1 for p in module.parameters(recurse=False)):
        return Flops()
    return _owned_by_parent(module, name)


def _owned_by_parent(module: nn.Module, name: str) -> Flops:
    if getattr(module, "counted_by_parent", False):
        return Flops()
    raise UserError(
        f"{name} ({type(module).__name__}) owns a matrix and declares no FLOPs; "
        "give it `flops(seq_len)`, or `counted_by_parent = True` where its parent counts them"
    )
