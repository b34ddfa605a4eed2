"""How the machine was while it was measured: load, clocks and temperatures, where the system says them.

A processor that is slowed down by heat, or a neighbour that takes half of it, changes every timing. What cannot be
read is None: a virtual machine often hides its temperature, and a GPU's needs NVIDIA's library beside torch.
"""

from __future__ import annotations

import importlib
import os
import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

SYSTEM = Path("/")
"""Below it lie proc and sys; Linux only (docs.kernel.org/admin-guide/pm/cpufreq.html, driver-api/thermal)."""


@dataclass(frozen=True)
class MachineState:
    """At one moment; None is unknown. `load_average` is of the last minute.

    `cpu_mhz` is the mean over the cores, as the kernel says it: on a virtual machine that is a nominal clock.
    `cpu_celsius` is the hottest thermal zone. `gpu_mhz` and `gpu_celsius` are None unless a GPU is measured.
    """

    load_average: float | None
    cpu_mhz: float | None
    cpu_celsius: float | None
    gpu_mhz: float | None = None
    gpu_celsius: float | None = None


def machine_state(device: torch.device, system: Path = SYSTEM) -> MachineState:
    """What the system says now. Reading takes under a millisecond a core and is done outside the clock."""
    gpu = device.type == "cuda"
    return MachineState(
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        cpu_mhz=cpu_mhz(system),
        cpu_celsius=cpu_celsius(system),
        gpu_mhz=_of_gpu("clock_rate", device) if gpu else None,
        gpu_celsius=_of_gpu("temperature", device) if gpu else None,
    )


def cpu_mhz(system: Path = SYSTEM) -> float | None:
    """Mean clock of the cores: what each runs at by cpufreq, in kHz, else what /proc/cpuinfo says."""
    folder = system / "sys/devices/system/cpu"
    khz = _numbers(folder.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    if khz:
        return statistics.fmean(khz) / 1e3
    try:
        text = (system / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    mhz = [float(found) for found in re.findall(r"^cpu MHz\s*:\s*([\d.]+)\s*$", text, re.MULTILINE)]
    return statistics.fmean(mhz) if mhz else None


def cpu_celsius(system: Path = SYSTEM) -> float | None:
    """The hottest thermal zone; the kernel says it in thousandths of a degree."""
    found = _numbers((system / "sys/class/thermal").glob("thermal_zone*/temp"))
    return max(found) / 1e3 if found else None


def _numbers(paths: Iterable[Path]) -> list[float]:
    """The files that hold a number; a sensor that is off refuses to be read."""
    numbers = []
    for path in sorted(paths):
        try:
            numbers.append(float(path.read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return numbers


def _of_gpu(what: str, device: torch.device) -> float | None:
    """`torch.cuda.clock_rate` in MHz or `torch.cuda.temperature` in °C; None where NVIDIA's library or the GPU
    does not say them, as a part of a GPU does not.
    """
    try:
        nvml: Any = importlib.import_module("pynvml")  # what torch itself asks
    except ImportError:
        return None
    try:
        return float(getattr(torch.cuda, what)(device))
    except (RuntimeError, nvml.NVMLError):
        return None
