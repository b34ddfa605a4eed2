"""The class of a machine: what decides the last bits of fp32 arithmetic, and how fast one operation is beside another.

Golden numbers and speed ratios are kept a class; a machine of a class that has none is told so.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path

import torch


def arithmetic_class() -> str:
    """Machines that agree on it give the same bits: system, CPU model, torch and its vector capability.

    The model is part of it because MKL chooses its kernels by vendor and model, not by torch's capability; and what
    MKL is told in the environment to choose instead.
    """
    capability = torch.backends.cpu.get_cpu_capability().replace(" ", "")
    told = "".join(f"-{os.environ[name]}" for name in ("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS") if name in os.environ)
    return _plain(f"{platform.system()}-{platform.machine()}-{_cpu()}-{capability}{told}-torch-{torch.__version__}")


def speed_class() -> str:
    """Machines that agree on it are compared by speed ratios: the same, and the minor version of Python."""
    return f"{arithmetic_class()}-py{sys.version_info.major}.{sys.version_info.minor}"


def _cpu(path: Path = Path("/proc/cpuinfo")) -> str:
    """Vendor, family and model where the system tells them, else the processor's name."""
    if not path.exists():
        return platform.processor() or "unknown"
    text = path.read_text()
    found = [re.search(rf"^{key}\s*:\s*(.+)$", text, re.MULTILINE) for key in ("vendor_id", "cpu family", "model")]
    return "-".join(match[1] for match in found if match) or platform.processor() or "unknown"


def _plain(text: str) -> str:
    """As a file's name."""
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", text)
