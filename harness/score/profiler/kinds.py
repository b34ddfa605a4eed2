"""Which kind of operation the time went to, from a list of profiled events. Pure: a hand-made list will do.

An operator is named after what it computes (mul, mean), not after what it is for. So the modules of a model are
wrapped in ranges named after their kind (ranges.py), an operator has the kind of the innermost range around it, and
a backward operator the kind of the forward operator that autograd's sequence number says it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

Kind = Literal["matmul", "attention", "norm", "activation", "conv", "router", "optimizer", "other"]
KINDS: tuple[Kind, ...] = get_args(Kind)

RANGE = "harness kind: "
"""Begins the name of a range; what follows is a kind, or `mixture`."""

MIXTURE = "mixture"
"""A mixture of experts: its matrix products are the experts', matmul, and everything else is routing."""

PRODUCTS = ("linear", "matmul", "mm", "addmm", "bmm", "baddbmm", "_grouped_mm", "einsum")
CLIPPING = ("_foreach_", "linalg_vector_norm", "clip_grad")
"""Operators outside any range that belong to a step of the optimizer: the clipping of gradients before it."""

BACKWARD = "autograd::engine::evaluate_function: "
OPTIMIZER = "Optimizer."


@dataclass(frozen=True)
class Event:
    """An operator or range that ran on the host. `parent` is an index into the same list, by order of start.

    `seconds` is its own time without its children's: on the host, or, where there is a device, on the device.
    `sequence` is autograd's number, -1 for none; a backward event carries that of its forward operator, and
    `forward_thread` that operator's thread.
    """

    name: str
    seconds: float
    parent: int | None = None
    sequence: int = -1
    thread: int = 0
    forward_thread: int = 0


def time_by_kind(events: Sequence[Event]) -> dict[Kind, float]:
    """Seconds of every kind; they sum to the seconds of all operators. Ranges count nothing themselves."""
    kinds = kinds_of(events)
    seconds: dict[Kind, float] = dict.fromkeys(KINDS, 0.0)
    for event, kind in zip(events, kinds, strict=True):
        if is_operator(event):
            seconds[kind] += event.seconds
    return seconds


def kinds_of(events: Sequence[Event]) -> list[Kind]:
    """The kind of each event."""
    forward: list[Kind | None] = [_forward_kind(events, i) for i in range(len(events))]
    by_sequence: dict[tuple[int, int], Kind] = {}
    for event, kind in zip(events, forward, strict=True):
        if kind is not None and event.sequence >= 0:
            # several share a number: operators that made no node, wrappers, and last the one that made it
            by_sequence[event.thread, event.sequence] = kind
    return [kind or _backward_kind(events, i, by_sequence) for i, kind in enumerate(forward)]


def is_operator(event: Event) -> bool:
    """Whether it is work, and not a range of the harness, the optimizer or the profiler."""
    return not event.name.startswith((RANGE, OPTIMIZER, "ProfilerStep"))


def _forward_kind(events: Sequence[Event], index: int) -> Kind | None:
    """By the innermost range; None within a backward pass."""
    name = _short(events[index].name)
    for event in _upwards(events, index):
        if event.name.startswith(BACKWARD):
            return None
        if event.name.startswith(OPTIMIZER):
            return "optimizer"
        if event.name.startswith(RANGE):
            label = event.name.removeprefix(RANGE)
            if label == MIXTURE:
                return "matmul" if name in PRODUCTS else "router"
            return cast("Kind", label)
    return "optimizer" if name.startswith(CLIPPING) else "other"


def _backward_kind(events: Sequence[Event], index: int, by_sequence: dict[tuple[int, int], Kind]) -> Kind:
    for event in _upwards(events, index):
        if event.name.startswith(BACKWARD):
            return by_sequence.get((event.forward_thread, event.sequence), "other")
    raise AssertionError(f"{events[index].name} is not within a backward pass")


def _upwards(events: Sequence[Event], index: int) -> Iterator[Event]:
    current: int | None = index
    while current is not None:
        yield events[current]
        current = events[current].parent


def _short(name: str) -> str:
    return name.rpartition("::")[2]
