"""The modules a model is made of, without values, each built once and kept: what a plan of a thousand arms counts.

Arms differ in a slot or two. A layer's attention is the same object wherever the same variant, options, norm and sizes
ask for it, so whoever finds something out about it (harness/plan/ledger.py, audit.py) can keep that by the module.
Nobody changes what is given here. tests/plan/test_parts.py holds the list against the transformer itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any, cast

from torch import nn

from harness.model.build import build, shape_of
from harness.model.transformer import TokenEmbedding
from harness.plan.skeleton import on_meta
from harness.spec.spec import Choice, Spec
from variants import registry
from variants.slots import Shape

LAYER = {"attention": "norm", "ffn": "activation", "residual": "norm"}
"""The slots of a layer, in its order, and the slot whose constructor each is handed."""

KEPT = 1024
"""Modules kept of a kind. Assumption: a few KB each, and more than the arms of a study have between them."""

_HOLDER = nn.Module()
"""What only holds other modules: the list of layers, and a layer."""


def parts(spec: Spec) -> Iterator[tuple[str, nn.Module]]:
    """(name, module) in the order of `Transformer(spec)`: every module but those below a part, which its part has.

    Raises:
        UserError: a variant refuses the sizes or its options.
    """
    yield "embedding", _embedding(spec.vocab_size, spec.d_model)
    yield "position", _built("position", spec, shape_of(spec))
    yield "layers", _HOLDER
    layers: dict[Spec, list[tuple[str, nn.Module]]] = {}
    for i in range(spec.n_layers):
        layer = spec.layer(i)
        found = layers.get(layer) or layers.setdefault(layer, _layer(layer))
        yield f"layers.{i}", _HOLDER
        yield from ((f"layers.{i}.{slot}", module) for slot, module in found)
    ends_with_norm = cast("Any", layers[spec.layer(0)][-1][1]).final_norm
    yield "final_norm", _built("norm", spec, spec.d_model) if ends_with_norm else _HOLDER
    yield "head", _head(spec.d_model, spec.vocab_size)


def ffn_of(layer: Spec) -> nn.Module:
    """The FFN of one layer (`Spec.layer`). Raises as `parts`."""
    return _built("ffn", layer, shape_of(layer))


def _layer(layer: Spec) -> list[tuple[str, nn.Module]]:
    shape = shape_of(layer)
    return [(slot, _built(slot, layer, shape)) for slot in LAYER]


def _built(slot: str, spec: Spec, sizes: Shape | int) -> nn.Module:
    """What `spec` has in `slot`. The classes are named beside the choices: a test may register another of a name."""
    slots = (slot, LAYER[slot]) if slot in LAYER else (slot,)
    choices = tuple(spec.choice(each) for each in slots)
    classes = tuple(registry.get(each, choice.variant) for each, choice in zip(slots, choices, strict=True))
    return _kept(slots, choices, classes, sizes)


@lru_cache(maxsize=KEPT)
def _kept(
    slots: tuple[str, ...], choices: tuple[Choice, ...], classes: tuple[type, ...], sizes: Shape | int
) -> nn.Module:
    spec = Spec().replace(**dict(zip(slots, choices, strict=True)))
    handed = (partial(build, spec, slot) for slot in slots[1:])
    return on_meta(lambda: build(spec, slots[0], sizes, *handed))


@lru_cache(maxsize=KEPT)
def _embedding(vocab_size: int, d_model: int) -> nn.Module:
    return on_meta(lambda: TokenEmbedding(vocab_size, d_model))


@lru_cache(maxsize=KEPT)
def _head(d_model: int, vocab_size: int) -> nn.Module:
    return on_meta(lambda: nn.Linear(d_model, vocab_size, bias=False))


def forget_parts() -> None:
    """Build everything anew from here on."""
    for kept in (_kept, _embedding, _head):
        kept.cache_clear()
