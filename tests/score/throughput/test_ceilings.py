"""Ceilings are measured once a device and kept; unknown stays unknown."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from harness.score.throughput import ceilings as room
from harness.score.throughput.ceilings import Ceilings, ceilings, measure_ceilings

CPU = torch.device("cpu")
MADE_UP = Ceilings("made up", "float32", 1, 1e11, 1e10)


def test_this_device_has_ceilings() -> None:
    made = measure_ceilings(CPU, torch.float32, gemm_size=128, copy_bytes=2**20)
    assert made.flops_per_s is not None
    assert made.bytes_per_s is not None
    assert 1e7 < made.flops_per_s < 1e15
    assert 1e6 < made.bytes_per_s < 1e14
    assert made.ridge == pytest.approx(made.flops_per_s / made.bytes_per_s)
    assert made.to_json()["ridge"] == made.ridge


def test_they_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[torch.dtype] = []

    def fake(device: torch.device, dtype: torch.dtype) -> Ceilings:
        measured.append(dtype)
        return MADE_UP

    monkeypatch.setattr(room, "measure_ceilings", fake)
    assert ceilings(CPU, torch.float32, tmp_path) == MADE_UP
    assert ceilings(CPU, torch.float32, tmp_path) == MADE_UP
    assert ceilings(CPU, torch.bfloat16, tmp_path) == MADE_UP
    assert measured == [torch.float32, torch.bfloat16]
    (tmp_path / "ceilings.json").write_text("{ cut short")
    assert ceilings(CPU, torch.float32, tmp_path) == MADE_UP
    assert len(json.loads((tmp_path / "ceilings.json").read_text())) == 1


def test_unknown_is_none_and_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> float:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(room, "gemm_rate", refuse)
    monkeypatch.setattr(room, "copy_rate", lambda *_: 1e10)
    made = ceilings(CPU, torch.float32, tmp_path)
    assert made == dataclasses.replace(made, flops_per_s=None, bytes_per_s=1e10)
    assert made.ridge is None
    assert not (tmp_path / "ceilings.json").exists()
