"""Choosing a device and making arithmetic on it repeat."""

from __future__ import annotations

import os
import sys
from typing import Any, cast

import torch
import torch.utils.deterministic

from harness.train.memory import keep_freed_memory
from variants.errors import UserError


def choose_device(name: str) -> torch.device:
    """The torch device of `auto` (a GPU if there is one, else the CPU), `cpu`, `cuda`, `cuda:1` or `mps`.

    Raises:
        UserError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {name} is not available here ({str(error).splitlines()[0]}); use cpu") from error
    return device


def device_class(device: torch.device) -> str:
    """What of a device decides the bits: the CPU's vector capability, or the GPU's model."""
    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)}"
    if device.type == "cpu":
        return f"cpu {torch.backends.cpu.get_cpu_capability()}"
    return device.type


def prepare_process(device: torch.device) -> None:
    """One thread a training process, deterministic kernels, freed memory kept; called by a worker before it trains."""
    torch.set_num_threads(1)
    keep_freed_memory()
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS may sum in another order
    torch.use_deterministic_algorithms(True, warn_only=device.type not in ("cpu", "cuda"))
    deterministic = sys.modules["torch.utils.deterministic"]  # a module whose only names are properties
    cast("Any", deterministic).fill_uninitialized_memory = False  # 4 % of a step at 2 x 48; nothing reads such memory
    torch.backends.cuda.matmul.allow_tf32 = False
