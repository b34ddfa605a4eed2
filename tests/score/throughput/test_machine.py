"""Clocks and temperatures from a made-up /proc and /sys, and from a made-up library of NVIDIA's."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from harness.score.throughput.machine import cpu_celsius, cpu_mhz, machine_state

CPUINFO = "processor : 0\ncpu MHz\t\t: 2000.000\n\nprocessor : 1\ncpu MHz\t\t: 3000.5\nbogomips : 9999\n"
CUDA = torch.device("cuda", 0)


class NVMLError(Exception):
    """As NVIDIA's: not a RuntimeError."""


def put(system: Path, path: str, text: str) -> None:
    (system / path).parent.mkdir(parents=True, exist_ok=True)
    (system / path).write_text(text)


def test_a_system_that_says_nothing(tmp_path: Path) -> None:
    assert cpu_mhz(tmp_path) is cpu_celsius(tmp_path) is None
    put(tmp_path, "proc/cpuinfo", "Processor : ARM\n")
    assert cpu_mhz(tmp_path) is None
    state = machine_state(torch.device("cpu"), tmp_path)
    assert (state.cpu_mhz, state.cpu_celsius, state.gpu_mhz, state.gpu_celsius) == (None,) * 4


def test_the_clock_is_the_mean_over_cores_and_cpufreq_is_asked_first(tmp_path: Path) -> None:
    put(tmp_path, "proc/cpuinfo", CPUINFO)
    assert cpu_mhz(tmp_path) == pytest.approx(2500.25)
    for core, khz in ((0, "800000\n"), (1, "1200000\n")):
        put(tmp_path, f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq", khz)
    put(tmp_path, "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq", "9")  # not a core's
    assert cpu_mhz(tmp_path) == pytest.approx(1000.0)


def test_the_hottest_zone_and_a_sensor_that_is_off(tmp_path: Path) -> None:
    for zone, text in ((0, "41000\n"), (1, "67500\n"), (2, "unknown\n")):
        put(tmp_path, f"sys/class/thermal/thermal_zone{zone}/temp", text)
    (tmp_path / "sys/class/thermal/thermal_zone3/temp").mkdir(parents=True)
    assert cpu_celsius(tmp_path) == pytest.approx(67.5)


def test_a_gpu_is_asked_when_it_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "clock_rate", lambda device: 1980)
    monkeypatch.setattr(torch.cuda, "temperature", lambda device: 55)
    monkeypatch.setitem(sys.modules, "pynvml", SimpleNamespace(NVMLError=NVMLError))
    state = machine_state(CUDA, tmp_path)
    assert (state.gpu_mhz, state.gpu_celsius) == (1980.0, 55.0)
    assert machine_state(torch.device("cpu"), tmp_path).gpu_mhz is None
    monkeypatch.setitem(sys.modules, "pynvml", None)  # is not installed
    assert machine_state(CUDA, tmp_path).gpu_mhz is None


def test_a_part_of_a_gpu_says_no_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(device: torch.device) -> int:
        raise NVMLError("Not Supported")

    monkeypatch.setattr(torch.cuda, "clock_rate", refuse)
    monkeypatch.setattr(torch.cuda, "temperature", lambda device: 55)
    monkeypatch.setitem(sys.modules, "pynvml", SimpleNamespace(NVMLError=NVMLError))
    state = machine_state(CUDA, tmp_path)
    assert (state.gpu_mhz, state.gpu_celsius) == (None, 55.0)
