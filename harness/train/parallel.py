"""How one run is split over the processes of a machine, and what cannot be split so. docs/engines.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from harness.model.transformer import Transformer
from variants.errors import UserError

ParallelKind = Literal["ddp", "fsdp"]


@dataclass(frozen=True)
class Parallel:
    """How a run is split over processes: `ddp` keeps the whole model in each, `fsdp` a part of every tensor."""

    kind: ParallelKind
    processes: int

    def __str__(self) -> str:
        return f"{self.kind} over {self.processes} process{'es' if self.processes > 1 else ''}"


def unsplittable(model: Transformer, parallel: Parallel) -> str | None:
    """Why a model cannot be trained by several processes, None when it can."""
    for name, module in model.named_modules():
        if getattr(module, "leaks", False):
            return (
                f"--parallel splits a batch over processes, and {name} ({type(module).__name__}) gives a sequence "
                "another output in another batch; train it without --parallel"
            )
    for name, parameter in model.named_parameters() if parallel.kind == "fsdp" else ():
        if parameter.ndim == 0:
            return f"--parallel fsdp splits parameters by their rows, and {name} is a single number; use --parallel ddp"
    return None


def check_devices(device_type: str, processes: int) -> None:
    """Raise `UserError` where this machine cannot give each process of a run its device."""
    if device_type not in ("cpu", "cuda"):
        raise UserError(f"--parallel needs --device cpu or cuda, got {device_type}")
    if not torch.distributed.is_available():
        raise UserError("--parallel needs a torch with torch.distributed, and this one has none; install another")
    if device_type == "cuda" and processes > torch.cuda.device_count():
        raise UserError(
            f"--parallel gives each process a GPU, and this machine has {torch.cuda.device_count()} for "
            f"--nproc {processes}; ask for fewer"
        )
