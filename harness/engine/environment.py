"""On what and where something was trained, as plain data for its record."""

from __future__ import annotations

import platform
import sys
from typing import Any

import torch

from harness.data.dataset import TokenizedData
from harness.engine.identity import code_digest
from harness.spec.spec import Spec
from harness.train.compile import StepKind, step_class
from harness.train.device import choose_device, device_class


def data_facts(data: TokenizedData) -> dict[str, Any]:
    """The corpus, its tokenizer and the sizes of its splits."""
    return {
        "name": data.name,
        "sha256": data.corpus_sha256,
        "tokenizer": data.tokenizer,
        "vocab_size": data.vocab_size,
        "train_tokens": len(data.train),
        "validation_tokens": len(data.validation),
        "validation_bytes": data.validation_bytes,
    }


def environment(spec: Spec, device: str, step: StepKind = "eager", **more: str) -> dict[str, str]:
    """Versions, machine and code that train `spec`.

    Args:
        device: as the flag names it.
        more: what else belongs there.
    """
    chosen = choose_device(device)
    return {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "platform": platform.platform(),
        "device": device_class(chosen),
        **more,
        "step": step_class(step, chosen.type),
        "code": code_digest(spec)[:16],
    }
