"""Which kernels an arm ran on, found by watching: a statement about speed is one about kernels.

RMSNorm without a fused kernel is three times slower than LayerNorm with one (facts, torch 2.13 on a CPU), which says
nothing about the norms. So every row names its kernel mode.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from harness.model.build import build
from harness.spec.spec import Spec

FUSED_NORMS = ("native_layer_norm", "_fused_rms_norm")
"""Operators that normalise in one kernel."""

VIEWS = ("view", "_unsafe_view", "expand", "slice", "t", "transpose", "unsqueeze", "squeeze", "alias", "detach")
"""Operators that move nothing."""


@dataclass(frozen=True)
class KernelMode:
    """How an arm was run. `attention_...` is SDPA's backend, or `math` where scores are computed step by step.

    `norm` is `fused`, `unfused` or `none`, and how many operators one call runs in eager mode. `compiled` holds for
    training and prefill; decoding, whose shapes change with every token, is always eager.
    """

    compiled: bool
    attention_training: str
    attention_decoding: str
    norm: str

    @property
    def text(self) -> str:
        mode = "compiled (decoding eager)" if self.compiled else "eager"
        attention = self.attention_training
        if self.attention_decoding != attention:
            attention += f", decoding {self.attention_decoding}"
        norm = f"{self.norm}, before it is compiled" if self.compiled else self.norm
        return f"{mode}; SDPA {attention}; norm {norm}"


class OperatorNames(TorchDispatchMode):
    """Context manager that notes the operators that run, in order, without views."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if name not in VIEWS:
            self.names.append(name)
        return func(*args, **(kwargs or {}))


def operators(call: Callable[[], object]) -> list[str]:
    """The operators that `call` runs."""
    with OperatorNames() as seen:
        call()
    return seen.names


def attention_backend(names: list[str]) -> str:
    """`flash`, `efficient`, `cudnn`, ... from the operators of a pass; several joined by a plus; `math` when none."""
    found = dict.fromkeys(n for n in names if "scaled_dot_product" in n and "backward" not in n)
    short = [n.removeprefix("_scaled_dot_product_").replace("_attention", "").replace("_for_cpu", "") for n in found]
    return "+".join(short) or "math"


def norm_mode(spec: Spec, device: torch.device, dtype: torch.dtype) -> str:
    """Of the arm's norm on this device."""
    norm = build(spec, "norm", spec.d_model).to(device, dtype)
    x = torch.ones(1, 2, spec.d_model, device=device, dtype=dtype)
    names = operators(lambda: norm(x))
    if not names:
        return "none"
    fused = [n for n in names if n in FUSED_NORMS]
    return f"fused ({fused[0]})" if fused else f"unfused ({len(names)} operators)"
