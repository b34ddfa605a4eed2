"""What this device can do at most: FLOP/s of a large matrix product and bytes/s of a large copy, measured once.

A utilisation is a share of these, never of a number from a data sheet. What could not be measured is None, and
so is every share of it. On a CPU the clock is processor time, so that a busy machine has the ceilings of an idle one.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import platform
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness.data.atomic import write_text
from harness.score.throughput.blocks import block_of
from harness.train.device import device_class

GEMM_SIZE = {"cpu": 1024, "cuda": 8192}
"""Rows of the square matrices: 2 GFLOP on a CPU, 1.1 TFLOP on a GPU. Assumption: large enough to be at the peak."""

COPY_BYTES = 2**29
"""Copied from one buffer to another: with both 1 GiB, more than any last-level cache of one socket. Assumption."""

REPEATS = 8
"""A ceiling is the best of these. Assumption."""


@dataclass(frozen=True)
class Ceilings:
    """`flops_per_s`, 2 a multiply-add, and `bytes_per_s`, read plus written; None is unknown."""

    device: str
    dtype: str
    threads: int
    flops_per_s: float | None
    bytes_per_s: float | None
    measured: str = ""  # ISO 8601, UTC

    @property
    def ridge(self) -> float | None:
        """FLOPs per byte from which a kernel is bound by arithmetic and no longer by memory."""
        if self.flops_per_s is None or self.bytes_per_s is None:
            return None
        return self.flops_per_s / self.bytes_per_s

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "ridge": self.ridge}


def ceilings(device: torch.device, dtype: torch.dtype, cache_folder: Path) -> Ceilings:
    """The ceilings of this device, from `cache_folder`/ceilings.json or measured now and kept there.

    An unknown ceiling is not kept: the next call tries again.
    """
    path = cache_folder / "ceilings.json"
    known = _read(path)
    key = f"{device_name(device)}, {_text(dtype)}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    if key in known:
        return known[key]
    made = measure_ceilings(device, dtype)
    if made.flops_per_s is not None and made.bytes_per_s is not None:
        kept = {**known, key: made}
        write_text(path, json.dumps({k: dataclasses.asdict(c) for k, c in sorted(kept.items())}, indent=1))
    return made


def measure_ceilings(
    device: torch.device, dtype: torch.dtype, *, gemm_size: int | None = None, copy_bytes: int = COPY_BYTES
) -> Ceilings:
    """Measure both, now."""
    size = gemm_size or GEMM_SIZE.get(device.type, 4096)
    return Ceilings(
        device=device_name(device),
        dtype=_text(dtype),
        threads=torch.get_num_threads(),
        flops_per_s=_or_unknown(lambda: gemm_rate(device, dtype, size)),
        bytes_per_s=_or_unknown(lambda: copy_rate(device, copy_bytes)),
        measured=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def gemm_rate(device: torch.device, dtype: torch.dtype, size: int) -> float:
    """FLOP/s of an n x n x n product, the best of `REPEATS` blocks."""
    a, b = (torch.ones(size, size, device=device, dtype=dtype) for _ in range(2))
    out = torch.empty_like(a)
    return 2.0 * size**3 / _best(lambda: torch.mm(a, b, out=out), device)


def copy_rate(device: torch.device, num_bytes: int) -> float:
    """Bytes/s of a copy, each byte counted as read and as written, the best of `REPEATS` blocks."""
    source = torch.ones(num_bytes, device=device, dtype=torch.uint8)
    target = torch.zeros_like(source)
    return 2.0 * num_bytes / _best(lambda: target.copy_(source), device)


def device_name(device: torch.device) -> str:
    """The device as its owner would name it."""
    if device.type != "cpu":
        return device_class(device)
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not Linux
        text = ""
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return f"{model[1].strip() if model else platform.processor() or platform.machine()}, {device_class(device)}"


def _best(call: Callable[[], object], device: torch.device) -> float:
    clock = _processor_time if device.type == "cpu" else time.perf_counter
    block = block_of(call, device, warm_up=2, clock=clock)
    return min(block() for _ in range(REPEATS))


def _processor_time() -> float:
    """Seconds that each thread worked, when all work equally."""
    return time.process_time() / torch.get_num_threads()


def _or_unknown(measure: Callable[[], float]) -> float | None:
    try:
        return measure()
    except (RuntimeError, TypeError):  # out of memory, or a dtype that the device has no kernel for
        return None


def _read(path: Path) -> dict[str, Ceilings]:
    """What is kept; a file that cannot be read is as good as none."""
    try:
        return {key: Ceilings(**value) for key, value in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _text(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
