"""Ranges around the modules of a model, named after the kind of operation each is for; nothing is changed for good."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, cast

from torch import nn
from torch.profiler import record_function

from harness.model.transformer import Transformer
from harness.plan.part_cost import own_flops
from harness.score.profiler.kinds import MIXTURE, RANGE
from variants import registry


@contextlib.contextmanager
def kind_ranges(model: Transformer) -> Iterator[None]:
    """While open, every module that has a kind shows as a range in a profile."""
    with contextlib.ExitStack() as stack:
        for name, module in model.named_modules():
            label = label_of(model, name, module)
            if label is not None:
                stack.enter_context(_around_forward(module, RANGE + label))
            if label == MIXTURE:
                for method in ("logits", "route"):
                    stack.enter_context(_around_method(module, method, f"{RANGE}router"))
        stack.enter_context(_around_method(model.position, "encode", f"{RANGE}attention"))
        yield


def label_of(model: Transformer, name: str, module: nn.Module) -> str | None:
    """The kind of a module's own operations; None where they are nobody's (residual sums, embedding)."""
    if isinstance(module, nn.Linear):
        return "router" if getattr(module, "role", None) == "router" else "matmul"
    if isinstance(module, _classes(model, "norm")):
        return "norm"
    if isinstance(module, _classes(model, "activation")):
        return "activation"
    if hasattr(module, "balance_statistics"):
        return MIXTURE
    if name.rpartition(".")[2] == "attention":
        return "attention"
    if name and hasattr(module, "flops") and own_flops(module, name, model.spec.seq_len).conv:
        return "conv"
    return None


def _classes(model: Transformer, slot: str) -> tuple[type, ...]:
    return tuple(registry.get(slot, variant) for s, variant in model.spec.variants() if s == slot)


@contextlib.contextmanager
def _around_forward(module: nn.Module, label: str) -> Iterator[None]:
    open_ranges: list[record_function] = []

    def enter(module: nn.Module, inputs: Any) -> None:
        open_ranges.append(record_function(label))
        open_ranges[-1].__enter__()

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        open_ranges.pop().__exit__(None, None, None)

    handles = [module.register_forward_pre_hook(enter), module.register_forward_hook(leave, always_call=True)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def _around_method(module: nn.Module, method: str, label: str) -> Iterator[None]:
    original = cast("Callable[..., Any] | None", getattr(module, method, None))
    if original is None:
        yield
        return

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with record_function(label):
            return original(*args, **kwargs)

    module.__dict__[method] = wrapped  # shadows the class's method
    try:
        yield
    finally:
        del module.__dict__[method]
