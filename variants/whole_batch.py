"""Sums over the whole batch of a step, when several processes have a part of its sequences each.

A mean over tokens or sequences needs none of this: the parts are equally large, and gradients are averaged. What is
no mean (a product of two, the sign of a difference) takes its counts through `sum_over_batch`, so that it is what one
process with the whole batch has. Without a team both functions do nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class _Team:
    processes: int
    add: Callable[[Tensor], Tensor]


_team: _Team | None = None


def sum_over_batch(count: Tensor) -> Tensor:
    """`count` of this process's part, added over all parts. It carries no gradient."""
    return count if _team is None else _team.add(count)


def parts_of_batch() -> int:
    """How many parts there are."""
    return 1 if _team is None else _team.processes


@contextlib.contextmanager
def split_over(processes: int, add: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within this, a batch is one of `processes` parts, and `add` sums a tensor over them."""
    global _team
    before, _team = _team, _Team(processes, add)
    try:
        yield
    finally:
        _team = before
