"""What a module and all below it cost: forward FLOPs per token, parameters, elements moved, FLOPs when decoding.

Conventions and formulas: harness/plan/ledger.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import lru_cache, reduce
from operator import add
from typing import Any, cast

from torch import nn

from harness.plan.traffic import Traffic, own_params, own_traffic
from variants.errors import UserError
from variants.slots import Flops

BACKWARD = 2.0
"""Backward FLOPs over forward FLOPs of a matmul: one product for each of its two gradients."""

KEPT = 4096
"""Costs kept. Assumption: more than the arms of a study have parts between them; some KB each."""

KINDS = tuple(field.name for field in fields(Flops))


@dataclass(frozen=True)
class ModuleCost:
    """One module without its children: forward FLOPs per token, parameters it owns, elements it moves."""

    name: str
    flops: Flops
    num_params: int
    traffic: Traffic

    def arithmetic_intensity(self, seq_len: int) -> float | None:
        """FLOPs a byte at best; None for a module that moves no tensor of its own."""
        if not self.traffic.activations:
            return None
        return (self.flops.model + self.flops.pointwise) / self.traffic.bytes_per_token(seq_len)

    def to_json(self, seq_len: int) -> dict[str, Any]:
        return {
            "name": self.name,
            "flops": self.flops.model,
            "flops_by_kind": {kind: n for kind, n in by_kind(self.flops).items() if n},
            "num_params": self.num_params,
            "bytes_moved_per_token": self.traffic.bytes_per_token(seq_len),
            "arithmetic_intensity": self.arithmetic_intensity(seq_len),
        }


@dataclass(frozen=True)
class PartCost:
    """A module and those below it. `num_idle` are parameters that one token does not touch, `num_in_tables` those of
    token and position tables; `decode` is a term a module of `decode_flops`.
    """

    modules: tuple[ModuleCost, ...]
    decode: tuple[float, ...]
    num_idle: int
    num_in_tables: int

    @property
    def num_params(self) -> int:
        return sum(m.num_params for m in self.modules)

    def quantity(self, name: str) -> float:
        """What of `training_flops_per_token`, `total_params` or `active_params` of a model this part is."""
        if name == "training_flops_per_token":
            return (1 + BACKWARD) * total_flops(self.modules).model
        return self.num_params if name == "total_params" else self.num_params - self.num_idle


@lru_cache(maxsize=KEPT)
def part_cost(module: nn.Module, name: str, seq_len: int) -> PartCost:
    """The cost of a module called `name`, per token of a text of seq_len.

    Raises:
        UserError: a module below holds a matrix whose FLOPs it does not declare.
    """
    inside = list(module.named_modules(prefix=name))
    modules = tuple(_cost(each, at, seq_len) for at, each in inside)
    total = sum(p.numel() for p in module.parameters())
    assert sum(m.num_params for m in modules) == total, "the parts must sum to the whole"
    return PartCost(
        modules,
        decode=tuple(_decode_flops(each, at, seq_len) for at, each in inside),
        num_idle=sum(cast("Any", each).idle_params() for _, each in inside if hasattr(each, "idle_params")),
        num_in_tables=sum(p.numel() for _, m in inside if isinstance(m, nn.Embedding) for p in m.parameters()),
    )


def _cost(module: nn.Module, name: str, seq_len: int) -> ModuleCost:
    flops = own_flops(module, name, seq_len)
    return ModuleCost(name, flops, own_params(module), own_traffic(module, flops, seq_len))


def decode_flops(model: nn.Module, context: int) -> float:
    """Forward model FLOPs of one more token when `context` tokens are in the cache.

    With F(t) the FLOPs per token of a text of t tokens, the whole text costs t F(t), so the next token costs
    (t + 1) F(t + 1) - t F(t): its attention reads t + 1 keys, or the window. A module whose decoding does other
    operations than its training pass (MLA absorbs its up-projections) declares `decode_flops(context)` instead.
    """
    return reduce(add, (_decode_flops(module, name, context) for name, module in model.named_modules()), 0.0)


def _decode_flops(module: nn.Module, name: str, context: int) -> float:
    if hasattr(module, "decode_flops"):
        return cast("Any", module).decode_flops(context).model
    now, then = (own_flops(module, name, n).model for n in (context, context + 1))
    return (context + 1) * then - context * now


def total_flops(modules: Iterable[ModuleCost]) -> Flops:
    """The sum over modules, added one after another."""
    flops = [m.flops for m in modules]
    return Flops(*(reduce(add, (getattr(f, kind) for f in flops), 0.0) for kind in KINDS))


def by_kind(flops: Flops) -> dict[str, float]:
    return {kind: getattr(flops, kind) for kind in KINDS}


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
    if getattr(module, "counted_by_parent", False):
        return Flops()
    raise UserError(
        f"{name} ({type(module).__name__}) owns a matrix and declares no FLOPs; "
        "give it `flops(seq_len)`, or `counted_by_parent = True` where its parent counts them"
    )
