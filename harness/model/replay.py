"""A decoding step without its Python: recorded once over a static cache, then replayed call by call.

At these sizes a step costs less in arithmetic than in Python between the torch calls (measured at 4x96, Llama form:
half of it). So the first step runs as ever while its torch calls are written down, and the next steps run the list:

- what depends on weights alone is computed once;
- what depends on the position alone (masks, biases, angles) is computed once a step, for all layers;
- what nothing reads is left out;
- what has a shorter form for one token of one text takes it (harness/model/shorten.py);
- on a GPU the list is captured once as a CUDA graph, and a step is one launch.

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

from harness.model.shorten import shorten
from harness.model.tape import MEMORY, NOTHING, POSITION, TOKEN, Call, Depends, Tape, needed, shaped_by_values
from harness.model.transformer import DecodingState, Transformer

KEYS = 128
"""Keys by which the static part of the cache grows: one recording lasts that many steps. Assumption: the masked keys,
64 on average, cost less than recording more often."""


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
            for call in shorten(calls, logits):
                if call.depends != MEMORY:
                    source.add(call)
            self._replay = source.function(("tokens", "positions"), logits)
            if tokens.is_cuda:
                self._replay = captured(self._replay, tokens, self._positions)
        return logits


def captured(step: Callable[..., Tensor], tokens: Tensor, positions: Tensor) -> Callable[..., Tensor]:
    """A step as a CUDA graph, which reads its tokens and its position where the capture found them.

    Capturing runs nothing, so the cache is as it was; the kernels are loaded, since the step was just recorded.
    """
    own, graph = tokens.clone(), torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        logits = step(own, positions)

    def replay(tokens: Tensor, positions: Tensor) -> Tensor:
        own.copy_(tokens)
        graph.replay()
        return logits.clone()  # the next replay writes over it

    return replay
