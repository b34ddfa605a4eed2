"""What a benchmark is timed against: a matrix product of as many FLOPs, or a copy of as many bytes, on one thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

BLOCK = 2**16
"""Bytes copied at a time, 64 KiB: source and target stay in a core's own cache, out of reach of what its neighbours
do to the memory."""

SIDE = 256
"""Largest side of the square product: three fp32 matrices of it are 0.75 MiB, within a core's second-level cache of
the machines seen (2 MiB); more FLOPs are several products."""


@dataclass(frozen=True)
class Reference:
    """`work()` is the operation `times` over, and stands for `share` of the wanted FLOPs or bytes."""

    name: str
    work: Callable[[], object]
    share: float


def gemm(flops: float) -> Reference:
    """A square product in fp32, or several; 2 FLOPs a multiply-add."""
    side = min(SIDE, max(4, round((flops / 2) ** (1 / 3))))
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, side, side, generator=generator)
    out = torch.empty(side, side)
    return Reference(f"GEMM of {flops:.3g} FLOPs", lambda: torch.mm(a, b, out=out), 2 * side**3 / flops)


def copy(num_bytes: int) -> Reference:
    """A copy from one place in memory to another, in blocks."""
    size = min(BLOCK, num_bytes)
    source, target = torch.ones(2, size, dtype=torch.uint8)
    return Reference(f"copy of {num_bytes:,} bytes", lambda: target.copy_(source), size / num_bytes)
