"""What one more token costs when decoding: FLOPs with the cache, and bytes the cache grows by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn

from harness.model.transformer import Layer, Transformer
from harness.plan.traffic import ELEMENT_BYTES


@dataclass(frozen=True)
class LayerCache:
    """Elements of one layer for one text: added by a token, not growing, held after seq_len tokens."""

    growth: int
    fixed: int
    held: int
    has_window: bool


@dataclass(frozen=True)
class CacheCost:
    """Memory of one text while decoding, elements of 2 bytes.

    `bytes_per_token` is what a token adds while every window still has room; `bytes_at_context` what seq_len
    tokens hold, a layer with a window counted up to its window; `fixed_bytes` does not grow (a convolution's last
    inputs); `windowed_layers` stop growing at their window.
    """

    bytes_per_token: float
    bytes_at_context: float
    fixed_bytes: float
    windowed_layers: int


def cache_cost(model: Transformer, seq_len: int) -> CacheCost:
    """The cache of a model, from the states its variants allocate. Works on the meta device.

    Raises:
        UserError: a variant cannot decode.
    """
    layers = [cast("Layer", layer) for layer in model.layers]
    like = model.embedding.weight
    return cache_of_layers([layer_cache((layer.attention, layer.ffn), seq_len, like) for layer in layers])


def cache_of_layers(layers: Sequence[LayerCache]) -> CacheCost:
    """The sum of the layers' caches."""
    sizes = ((layer.growth, layer.fixed, layer.held) for layer in layers)
    growth, fixed, held = (ELEMENT_BYTES * sum(column) for column in zip(*sizes, strict=True))
    return CacheCost(growth, held, fixed, sum(layer.has_window for layer in layers))


def layer_cache(remembering: tuple[nn.Module, nn.Module], seq_len: int, like: Tensor) -> LayerCache:
    """The cache of a layer with this attention and ffn. Raises as `cache_cost`."""
    one, two, full = (_elements(remembering, n, like) for n in (1, 2, max(2, seq_len)))
    growth = two - one
    window = cast("int | None", getattr(remembering[0], "window", None))
    kept = seq_len if window is None else min(window, seq_len)
    return LayerCache(growth, one - growth, min(full, one + growth * (kept - 1)), window is not None)


def _elements(remembering: Sequence[nn.Module], max_len: int, like: Tensor) -> int:
    parts = (cast("Any", part) for part in remembering if hasattr(part, "new_state"))
    states = (part.new_state(1, max_len, like) for part in parts)
    return sum(tensor.numel() for state in states for tensor in state.values() if tensor.is_floating_point())
