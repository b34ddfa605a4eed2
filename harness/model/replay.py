"""A decoding step without its Python: recorded once over a static cache, then replayed call by call.

At these sizes a step costs less in arithmetic than in Python between the torch calls (measured at 4x96, Llama form:
half of it). So the first step runs as ever while its torch calls are written down, and the next steps run the list:

- what depends on weights alone is computed once;
- what depends on the position alone (masks, biases, angles) is computed once a step, for all layers;
- what nothing reads is left out.

A step sees `num_keys` keys, the same for many steps, of which those not yet written are masked; where a token stands
comes as a tensor. So nothing that Python can see differs between two steps, unless a module looks into a tensor
(`.item()`, a loop over the experts that were chosen) or makes one whose shape hangs on values. Such a step cannot be
replayed; the tape says why, and the step is run as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from harness.model.transformer import DecodingState, Transformer

KEYS = 128
"""Keys by which the static part of the cache grows: one recording lasts that many steps. Assumption: the masked keys,
64 on average, cost less than recording more often."""

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


class Source:
    """The calls as one flat Python function: what is constant a default argument, each result a local name."""

    def __init__(self, inputs: dict[str, Tensor]) -> None:
        self.names = {id(tensor): name for name, tensor in inputs.items()}
        self.held: dict[str, Any] = {}
        self.lines: list[str] = []
        self._shared: dict[str, str] = {}
        self._equal: dict[Any, Any] = {}

    def add(self, call: Call) -> None:
        """One more line; none for a call whose result is there already."""
        new = [tensor for tensor in call.outputs if id(tensor) not in self.names]
        if not new and not call.in_place:
            return  # it gave back what it was given, or a constant
        args = [self._text(arg) for arg in call.args]
        args += [f"{name}={self._text(value)}" for name, value in call.kwargs.items()]
        text = f"{self._hold(call.func)}({', '.join(args)})"
        if call.depends in (NOTHING, POSITION) and text in self._shared:
            self._assign(call.result, self._shared[text])
            return
        if call.depends == NOTHING:
            name = self._hold(call.result)
        else:
            name = f"v{len(self.lines)}"
            self.lines.append(f"{name} = {text}")
        self._shared[text] = name
        self._assign(call.result, name)

    def _assign(self, result: Any, text: str) -> None:
        """Give every tensor of a result its name, `v3` or `v3[1]`."""
        if isinstance(result, Tensor):
            self.names.setdefault(id(result), text)
        elif isinstance(result, tuple | list):
            for i, item in enumerate(result):
                self._assign(item, f"{text}[{i}]")

    def _text(self, value: Any) -> str:
        if isinstance(value, Tensor) and id(value) in self.names:
            return self.names[id(value)]
        if isinstance(value, tuple | list) and not isinstance(value, torch.Size):
            inner = "".join(f"{self._text(item)}, " for item in value)
            return f"({inner})" if isinstance(value, tuple) else f"[{inner}]"
        return self._hold(value)

    def _hold(self, value: Any) -> str:
        if value is None or isinstance(value, bool | int | str):
            return repr(value)
        if isinstance(value, float | torch.device | torch.dtype):
            value = self._equal.setdefault((type(value), value), value)
        name = f"c{id(value)}"  # it is held, so its id is its own
        self.held[name] = value
        return name

    def function(self, arguments: Iterable[str], result: Tensor) -> Callable[..., Tensor]:
        head = ", ".join([*arguments, *(f"{name}={name}" for name in self.held)])
        body = "\n    ".join([*self.lines, f"return {self._text(result)}"])
        scope = dict(self.held)
        exec(f"def step({head}):\n    {body}\n", scope)
        return scope["step"]


class Step:
    """One more token of each text: (batch, 1) ids -> (batch, 1, vocab) logits, equal to `model(tokens, state)`.

    `refusal` says why the step is not replayed; empty while it is. The weights must stay as they are, and nothing but
    the logits and the state is kept of a replayed pass.
    """

    def __init__(self, model: Transformer, state: DecodingState) -> None:
        self.model, self.state = model, state
        self.refusal = ""
        self.num_keys = 0
        self._positions = torch.zeros(1, dtype=torch.int64, device=model.embedding.weight.device)
        self._replay: Callable[..., Tensor] | None = None

    def __call__(self, tokens: Tensor) -> Tensor:
        if self.refusal:
            return self.model.forward(tokens, self.state)
        length = self.state.length + 1
        self.model.check_length(length, self.state)
        self._positions.fill_(self.state.length)
        if self._replay is None or length > self.num_keys:
            self.num_keys = min(-(-length // KEYS) * KEYS, self.state.max_len)
            logits = self._record(tokens)
        else:
            logits = self._replay(tokens, self._positions)
        self.state.length = length
        return logits

    def _record(self, tokens: Tensor) -> Tensor:
        """Run the step and keep its calls."""
        model, parts = self.model, [part for layer in self.state.layers for part in layer.values()]
        before = [dict(part) for part in parts]
        weights = (*model.parameters(), *model.buffers())
        known: list[tuple[Tensor, Depends]] = [(tensor, NOTHING) for tensor in weights]
        known += [(tensor, MEMORY) for part in parts for tensor in part.values()]
        known += [(self._positions, POSITION), (tokens, TOKEN)]
        with Tape(known) as tape:
            logits = model.run(tokens, self._positions, self.num_keys, self.state.layers)
        for part, old in zip(parts, before, strict=True):
            for name, tensor in old.items():
                if part[name] is not tensor:  # replaced: the next step must find it where this one did
                    with tape:
                        tensor.copy_(part[name])
                    part[name] = tensor
        calls = needed(tape.calls, logits)
        self.refusal = tape.refusal or shaped_by_values(tape.calls)
        if not self.refusal:
            source = Source({"tokens": tokens, "positions": self._positions})
            for call in calls:
                if call.depends != MEMORY:
                    source.add(call)
            self._replay = source.function(("tokens", "positions"), logits)
        return logits
