"""Peak memory of one training step of one arm, although several arms live in the process.

On a GPU the allocator knows its own peak. On a CPU the system knows only the process's, which belongs to all arms
and to Python, so the allocations of torch's CPU allocator are followed through one profiled step instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile


@dataclass(frozen=True)
class PeakMemory:
    """`total_bytes` = weights, buffers and optimizer state + the peak of what a step allocates; None is unknown."""

    total_bytes: int | None
    step_bytes: int | None
    how: str


def peak_memory(model: nn.Module, optimizer: torch.optim.Optimizer, step: Callable[[], object]) -> PeakMemory:
    """Of one `step` of an arm whose optimizer has made its state; gradients are cleared before it."""
    device = next(model.parameters()).device
    optimizer.zero_grad(set_to_none=True)
    resident = resident_bytes(model, optimizer)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        step()
        torch.cuda.synchronize(device)
        peak = torch.cuda.max_memory_allocated(device) - before
        return PeakMemory(resident + peak, peak, "torch.cuda.max_memory_allocated")
    if device.type == "cpu":
        peak = cpu_peak(step)
        return PeakMemory(resident + peak, peak, "allocations of torch's CPU allocator, profiled")
    return PeakMemory(None, None, f"unknown on {device.type}")


def resident_bytes(model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Weights, buffers and optimizer state."""
    state = (t for values in optimizer.state.values() for t in values.values() if isinstance(t, Tensor))
    return sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers(), *state))


def cpu_peak(call: Callable[[], object]) -> int:
    """Most bytes that `call` holds at once, above what was there before."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # its notices go past Python's standard error
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        call()
    return peak_of(allocations(profiled))


def allocations(profiled: profile) -> list[tuple[int, int]]:
    """(time in ns, bytes taken or, negative, given back) on the CPU, by time."""
    events = cast("Any", profiled).profiler.kineto_results.events()
    memory = [e for e in events if e.name() == "[memory]" and e.device_type() == torch.profiler.DeviceType.CPU]
    return sorted((e.start_ns(), e.nbytes()) for e in memory)


def peak_of(changes: list[tuple[int, int]]) -> int:
    """The largest running sum of changes that are in order of time."""
    held = peak = 0
    for _, change in changes:
        held += change
        peak = max(peak, held)
    return peak
