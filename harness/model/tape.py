"""What a pass of the model calls: each torch function written down as it was called, and what its tensors depend on.

A tape can be replayed (harness/model/replay.py) where nothing in it looks into a tensor, makes one whose shape hangs on
values, or writes into what is not the step's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

METADATA = {
    "dim", "ndimension", "size", "stride", "numel", "nelement", "element_size", "is_floating_point", "is_complex",
    "is_contiguous", "get_device", "__len__", "__get__",
}  # fmt: skip
"""Functions of a tensor's shape, dtype or device, which a recording holds fast. `__get__` is that of properties."""

IN_PLACE = {
    "__setitem__",
    *(f"__i{name}__" for name in ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor"]),
}
"""The operators that write into their first argument; so do functions whose name ends with one underscore."""

SHAPED_BY_VALUES = {"nonzero", "argwhere", "masked_select", "unique", "unique_consecutive", "bincount"}
"""Functions whose result has a shape that hangs on values."""

Depends = int
NOTHING, POSITION, TOKEN, MEMORY = range(4)
"""What a tensor depends on, the strongest last. MEMORY is a piece of the cache: its values change, and it stays where
it is."""


class Call:
    """One torch function as it was called. `depends` is the most that any of its tensors depends on."""

    __slots__ = ("args", "depends", "func", "in_place", "inputs", "kwargs", "name", "outputs", "result")

    def __init__(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        self.func, self.args, self.kwargs, self.result = func, args, kwargs, result
        self.name: str = getattr(func, "__name__", str(func))
        self.in_place = self.name in IN_PLACE or (self.name.endswith("_") and not self.name.endswith("__"))
        self.inputs = tensors((args, *kwargs.values()))
        self.outputs = tensors(result)
        self.depends = NOTHING


def tensors(value: Any) -> list[Tensor]:
    """Every tensor in nested tuples and lists, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, tuple | list):
        return [tensor for item in value for tensor in tensors(item)]
    return []


class Tape(TorchFunctionMode):
    """Writes down the torch calls of one pass. `refusal` says why they cannot be replayed; empty when they can.

    Args:
        known: what each tensor that the pass may read depends on; any other is a reason to refuse.
    """

    def __init__(self, known: Iterable[tuple[Tensor, Depends]]) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.refusal = ""
        self._depends: dict[int, Depends] = {id(tensor): depends for tensor, depends in known}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        call = Call(func, args, kwargs, result)
        found = [self._depends.get(id(tensor)) for tensor in call.inputs]
        depends = [TOKEN if one is None else one for one in found]
        call.depends = max(depends, default=NOTHING)
        if call.depends == MEMORY and not _is_piece(call, depends):
            call.depends = TOKEN
        self.refusal = self.refusal or _obstacle(call, depends, unknown=None in found)
        for tensor in call.outputs:
            self._depends.setdefault(id(tensor), call.depends)
        self.calls.append(call)  # which holds its tensors, so that no id is used twice
        return result


def _is_piece(call: Call, depends: list[Depends]) -> bool:
    """Whether a call only takes a view of the cache, which need not be taken again."""
    places = {tensor.untyped_storage().data_ptr() for tensor in (*call.inputs, *call.outputs)}
    return not call.in_place and min(depends) == MEMORY and len(places) == 1


def _obstacle(call: Call, depends: list[Depends], unknown: bool) -> str:
    """Why a call cannot be replayed; empty when it can."""
    if unknown:
        return f"{call.name} reads a tensor that is neither a weight, nor state, nor made in the step"
    writes = call.in_place or call.kwargs.get("out") is not None or call.kwargs.get("inplace")
    if writes and not (call.in_place and depends[0] >= TOKEN):
        return f"{call.name} writes into what is not the step's own"
    looks = call.depends > NOTHING and not writes and not call.outputs and call.name not in METADATA
    return f"{call.name} looks into a tensor" if looks else ""


def needed(calls: list[Call], result: Tensor) -> list[Call]:
    """The calls without those that nothing reads."""
    wanted, kept = {id(result)}, []
    for call in reversed(calls):
        if call.in_place or any(id(tensor) in wanted for tensor in call.outputs):
            wanted |= {id(tensor) for tensor in call.inputs}
            kept.append(call)
    return kept[::-1]


def shaped_by_values(calls: list[Call]) -> str:
    """The first call whose result is read and may have another shape in another step; empty when there is none."""
    read = {id(tensor) for call in calls for tensor in call.inputs}
    for call in calls:
        if call.depends == NOTHING or not any(id(tensor) in read for tensor in call.outputs):
            continue
        index = call.args[1:2] if call.name == "__getitem__" else ()
        masks = any(tensor.dtype in (torch.bool, torch.uint8) for tensor in tensors(index))
        repeats = call.name == "repeat_interleave" and len(call.inputs) > 1
        counted = call.name == "one_hot" and len(call.args) < 2 and "num_classes" not in call.kwargs
        chosen = call.name == "where" and len(call.args) + len(call.kwargs) == 1
        if call.name in SHAPED_BY_VALUES or masks or repeats or counted or chosen:
            return f"{call.name} makes a tensor whose shape hangs on values"
    return ""
