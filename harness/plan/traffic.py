"""Bytes moved by a module in a forward pass, at best: every tensor once.

Convention. One forward pass over one text of seq_len tokens; elements of 2 bytes (bf16); a module reads its
weights once a pass, reads each input once and writes each output once; nothing stays in a cache between modules.
So this is what perfect kernels would move, a lower bound, and the arithmetic intensity FLOPs / bytes an upper one.
A Linear reads fan_in and writes fan_out elements a token. A module around projections (the core of attention, the
activation of an ffn) reads what its input projections wrote and writes what its output projection reads. A routed
ffn moves its experts' elements once a visit, and reads an expert's weights only if some token visits it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from variants.slots import Flops

ELEMENT_BYTES = 2
"""Of weights, activations and cached keys and values: bf16."""


@dataclass(frozen=True)
class Traffic:
    """Elements: `activations` read and written a token, `weights` read once a pass over a text."""

    activations: float = 0.0
    weights: float = 0.0

    def bytes_per_token(self, seq_len: int) -> float:
        return ELEMENT_BYTES * (self.activations + self.weights / seq_len)


def own_traffic(module: nn.Module, flops: Flops, seq_len: int) -> Traffic:
    """What a module moves beside its children, for the FLOPs `flops` it does itself."""
    if getattr(module, "counted_by_parent", False):
        return Traffic()
    if isinstance(module, nn.Linear):
        return Traffic(module.in_features + module.out_features, own_params(module))
    if isinstance(module, nn.Embedding):
        return Traffic(2.0 * module.embedding_dim)  # a row is read and written
    if flops.norm:
        return Traffic(2.0 * _size_of(module), own_params(module))
    return _around_projections(module, flops, seq_len)


def own_params(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters(recurse=False))


def _size_of(norm: nn.Module) -> int:
    sizes = [p.numel() for p in norm.parameters(recurse=False)]
    return max(sizes, default=0) or cast("int", getattr(norm, "size", 0))


def _around_projections(module: nn.Module, flops: Flops, seq_len: int) -> Traffic:
    if not flops.model and not flops.activation:  # a position's rotation or bias moves with attention's tensors
        return Traffic(0.0, own_params(module))
    experts = [m for m in module.children() if getattr(m, "counted_by_parent", False)]
    moved = sum(_faced(m) for m in module.children() if isinstance(m, nn.Linear))
    if not experts:
        return Traffic(moved, own_params(module))
    weights = [cast("Any", m).weight for m in experts]  # (num_experts, fan_out, fan_in)
    num_experts = weights[0].shape[0]
    visits = flops.matmul / sum(2.0 * w.numel() / num_experts for w in weights)  # experts a token
    moved += visits * sum(w.shape[1] + w.shape[2] + _faced(m) for m, w in zip(experts, weights, strict=True))
    visited = min(1.0, visits * seq_len / num_experts)
    return Traffic(moved, own_params(module) + visited * sum(w.numel() for w in weights))


def _faced(projection: nn.Module) -> int:
    """Elements a token that a projection hands to, or takes from, the module around it."""
    fan_out, fan_in = cast("Any", projection).weight.shape[-2:]
    return fan_in if getattr(projection, "role", "input") == "output" else fan_out
