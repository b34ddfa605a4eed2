"""A model without values: its modules on the meta device, where only shapes exist and nothing is allocated.

Constructors fill their tensors. On the meta device that means nothing, yet the first draw or arithmetic imports
torch's compiler (0.8 s measured, torch 2.13), so draws are left out and tables that start from `arange` or `tensor`
are computed on the CPU, where they are small.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from harness.model.transformer import Transformer
from harness.spec.spec import Spec

Module = TypeVar("Module", bound=nn.Module)

DRAWING = ("normal_", "uniform_", "kaiming_uniform_", "xavier_uniform_", "trunc_normal_")
"""What constructors call to fill a tensor in place."""

TABLES = (torch.arange, torch.linspace, torch.tensor)
"""What constructors start a computed table from."""


class Light(TorchFunctionMode):
    """Inside it the draws of `DRAWING` return their tensor as it is, and `TABLES` are made on the CPU."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in DRAWING:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **({"device": "cpu"} | kwargs if func in TABLES else kwargs))


def skeleton(spec: Spec) -> Transformer:
    """The transformer of a spec on the meta device.

    Raises:
        UserError: a variant refuses the sizes or its options.
    """
    return on_meta(lambda: Transformer(spec, seed=None))


def on_meta(make: Callable[[], Module]) -> Module:
    """What `make` builds, without values."""
    with torch.device("meta"):
        try:
            with Light():
                return make()
        except RuntimeError:  # a constructor mixes a table with a meta tensor: slower, and always possible
            return make()
