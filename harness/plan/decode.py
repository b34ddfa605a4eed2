"""What one more token costs when decoding: FLOPs with the cache, and bytes the cache grows by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from harness.model.transformer import Layer, Transformer
from harness.plan.traffic import ELEMENT_BYTES

_Sizes = tuple[float, float, float]


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
    """The cache of a model, from the states its variants allocate. Works on the meta device."""
    like = model.embedding.weight
    sizes = [_layer_sizes(cast("Layer", layer), like, seq_len) for layer in model.layers]
    growth, fixed, held = (ELEMENT_BYTES * sum(column) for column in zip(*sizes, strict=True))
    windows = sum(_window(cast("Layer", layer)) is not None for layer in model.layers)
    return CacheCost(growth, held, fixed, windows)


def _layer_sizes(layer: Layer, like: torch.Tensor, seq_len: int) -> _Sizes:
    """(elements a token adds, elements that do not grow, elements held after seq_len tokens)."""
    one, two, full = (_elements(layer, n, like) for n in (1, 2, max(2, seq_len)))
    growth = two - one
    window = _window(layer)
    kept = seq_len if window is None else min(window, seq_len)
    return growth, one - growth, min(full, one + growth * (kept - 1))


def _elements(layer: Layer, max_len: int, like: torch.Tensor) -> int:
    state = layer.new_state(1, max_len, like)
    return sum(tensor.numel() for part in state.values() for tensor in part.values() if tensor.is_floating_point())


def _window(layer: nn.Module) -> int | None:
    return cast("Any", getattr(layer.attention, "window", None))
