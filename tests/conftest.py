"""Fixtures shared by every folder of tests."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

import harness.testing.typecheck  # noqa: F401 - the import hook of pyproject.toml looks it up as an attribute

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch loads: with more, workers and tests fight over the cores


@pytest.fixture
def small_text(tmp_path: Path) -> Path:
    """A file of 40 kB of made-up sentences, enough for models of 16 positions."""
    rng = random.Random(0)
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "then", "it", "ran", "off", "with", "my", "hat"]
    lines = [" ".join(rng.choices(words, k=rng.randint(4, 12))).capitalize() + "." for _ in range(1200)]
    path = tmp_path / "small.txt"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def tiny_flags(small_text: Path, tmp_path: Path) -> list[str]:
    """Flags of a study that trains in seconds: 1 layer of 16, 16 positions, 60 steps."""
    flags = "--size 1x16 --heads 2 --seq-len 16 --tokens-per-step 64 --steps 60 --seeds 2 --workers 2 --device cpu --score none"
    return [*flags.split(), "--data", str(small_text), "--out", str(tmp_path / "out")]
