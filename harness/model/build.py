"""Spec -> variants. The only place that turns names into modules."""

from __future__ import annotations

from torch import nn

from harness.spec.spec import Spec
from variants import registry
from variants.errors import UserError
from variants.slots import Shape


def shape_of(spec: Spec) -> Shape:
    """The sizes handed to every variant of a spec, or of one layer of it (`Spec.layer`).

    Raises:
        UserError: d_head is neither given nor d_model / n_heads.
    """
    if spec.d_head is None and spec.d_model % spec.n_heads:
        raise UserError(f"n_heads must divide d_model = {spec.d_model}, got {spec.n_heads}; set model.d_head otherwise")
    return Shape(
        d_model=spec.d_model,
        n_layers=spec.n_layers,
        n_heads=spec.n_heads,
        d_head=spec.d_head or spec.d_model // spec.n_heads,
        d_ff=spec.d_ff or 4 * spec.d_model,
        seq_len=spec.seq_len,
        vocab_size=spec.vocab_size,
        bias=spec.bias,
    )


def build(spec: Spec, slot: str, *arguments: object) -> nn.Module:
    """The module a spec chose for `slot`, with the user's options."""
    choice = spec.choice(slot)
    return registry.get(slot, choice.variant)(*arguments, **dict(choice.options))
