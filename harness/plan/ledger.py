"""What an arm costs, counted by structure on the meta device: FLOPs, parameters and bytes per module.

Conventions (docs/design.md): one multiply-add is 2 FLOPs; training is 3 times forward for matmul, attention,
conv and router terms; attention is causal; embedding lookups count 0; optimizer and auxiliary-loss FLOPs are
not counted; norms, activations and rotations are counted apart. Model FLOPs are what is matched; hardware FLOPs
add the masked part of the scores, which a kernel that computes the full square does too. Formulas: definitions 3.1,
checked against an operation-level count of every variant in tests/plan/test_profile.py.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, cast

from torch import nn

from harness.model.transformer import Transformer
from harness.plan.decode import CacheCost, cache_cost
from harness.plan.skeleton import ffn_skeleton, skeleton
from harness.plan.traffic import Traffic, own_params, own_traffic
from harness.spec.spec import Spec
from variants.errors import UserError
from variants.slots import Flops

BACKWARD = 2.0
"""Backward FLOPs over forward FLOPs of a matmul: one product for each of its two gradients."""


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
def quantity(spec: Spec, name: str) -> float:
    """One of `training_flops_per_token`, `total_params` and `active_params` of `count(spec)`, without the rest of it.

    Raises:
        UserError: as `count`.
    """
    return _quantity(_recent(spec), spec, name)


@lru_cache(maxsize=4096)
def quantity_of_ffns(spec: Spec, name: str) -> float:
    """What of `quantity(spec, name)` the FFNs of all layers are. Raises as `count`."""
    return sum(n * _quantity(ffn_skeleton(layer), spec, name) for layer, n in spec.layer_counts().items())


def _quantity(model: nn.Module, spec: Spec, name: str) -> float:
    if name == "training_flops_per_token":
        modules = ((at, module) for at, module in model.named_modules() if not isinstance(module, Transformer))
        return (1 + BACKWARD) * sum((own_flops(module, at, spec.seq_len) for at, module in modules), Flops()).model
    total = sum(p.numel() for p in model.parameters())
    return total if name == "total_params" else total - _idle(model)


def _idle(model: nn.Module) -> int:
    """Parameters that one token does not touch."""
    return sum(cast("Any", module).idle_params() for module in model.modules() if hasattr(module, "idle_params"))


_recent = lru_cache(maxsize=2)(skeleton)
"""An arm that keeps its width is counted after it was looked at. Nobody here changes what it is given."""


@lru_cache(maxsize=4096)
def count(spec: Spec) -> Ledger:
    """The ledger of a spec. Nothing is allocated.

    Raises:
        UserError: a variant refuses the sizes, or holds a matrix whose FLOPs it does not declare.
    """
    model = _recent(spec)
    modules = tuple(_cost(module, name, spec) for name, module in model.named_modules() if name)
    total = sum(p.numel() for p in model.parameters())
    assert sum(m.num_params for m in modules) == total, "the parts must sum to the whole"
    tables = sum(p.numel() for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters())
    try:
        cache = cache_cost(model, spec.seq_len)
    except UserError:  # a variant that cannot decode says so when it is asked for a state
        cache = None
    return Ledger(
        spec,
        modules,
        flops=sum((m.flops for m in modules), Flops()),
        total_params=total,
        active_params=total - _idle(model),
        non_embedding_params=total - tables,
        decode_flops_per_token=decode_flops(model, spec.seq_len) if cache else None,
        cache=cache,
    )


def _cost(module: nn.Module, name: str, spec: Spec) -> ModuleCost:
    flops = own_flops(module, name, spec.seq_len)
    # a tied matrix belongs to the embedding; the head only does the FLOPs
    num_params = 0 if spec.tied_head and name == "head" else own_params(module)
    return ModuleCost(name, flops, num_params, own_traffic(module, flops, spec.seq_len))


def decode_flops(model: Transformer, context: int) -> float:
    """Forward model FLOPs of one more token when `context` tokens are in the cache.

    With F(t) the FLOPs per token of a text of t tokens, the whole text costs t F(t), so the next token costs
    (t + 1) F(t + 1) - t F(t): its attention reads t + 1 keys, or the window. A module whose decoding does other
    operations than its training pass (MLA absorbs its up-projections) declares `decode_flops(context)` instead.
    """
    total = 0.0
    for name, module in model.named_modules():
        if hasattr(module, "decode_flops"):
            total += cast("Any", module).decode_flops(context).model
        elif name:
            now, then = (own_flops(module, name, n).model for n in (context, context + 1))
            total += (context + 1) * then - context * now
    return total


def by_kind(flops: Flops) -> dict[str, float]:
    return {f.name: getattr(flops, f.name) for f in fields(Flops)}


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
