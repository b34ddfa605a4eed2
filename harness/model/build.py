"""Spec -> variants. The only place that turns names into modules."""

from __future__ import annotations

from torch import nn

from harness.spec.spec import Spec
from variants import registry
from variants.slots import Shape


def shape_of(spec: Spec) -> Shape:
    """The sizes handed to every variant of a spec."""
    assert spec.d_model % spec.n_heads == 0, (spec.d_model, spec.n_heads)
    return Shape(
        d_model=spec.d_model,
        n_layers=spec.n_layers,
        n_heads=spec.n_heads,
        d_head=spec.d_model // spec.n_heads,
        d_ff=spec.d_ff or 4 * spec.d_model,
        seq_len=spec.seq_len,
        vocab_size=spec.vocab_size,
        bias=spec.bias,
    )


def build(spec: Spec, slot: str, *arguments: object) -> nn.Module:
    """The module a spec chose for `slot`, with the user's options."""
    choice = spec.choice(slot)
    return registry.get(slot, choice.variant)(*arguments, **dict(choice.options))
