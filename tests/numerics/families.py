"""One spec for each family of presets, at a small size with two heads; presets that differ in size alone are one."""

from __future__ import annotations

from harness.spec.presets import PRESETS
from harness.spec.sizes import resize
from harness.spec.spec import Spec

VOCAB_SIZE = 97
"""Tokens; small, so that the layers and not the head decide what a run costs."""


def families(size: str, seq_len: int) -> dict[str, Spec]:
    """By the name of the first preset that gives it, in the order of the presets."""
    first: dict[Spec, str] = {}
    for name, preset in PRESETS.items():
        first.setdefault(resize(preset.spec, size, heads=2, seq_len=seq_len).replace(vocab_size=VOCAB_SIZE), name)
    return {name: spec for spec, name in first.items()}
