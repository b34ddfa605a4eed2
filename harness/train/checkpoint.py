"""What a killed run needs to end with the same bits: weights, optimizer moments, the losses so far, the step.

A checkpoint is a folder `step-N` with safetensors files and a `position.json` that holds their SHA-256. It is
written under another name, flushed to disk and renamed, so a kill leaves the one before it. No pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

KEPT = 2
"""Checkpoints kept of a running run: the newest, and one before it should that one be damaged."""


@dataclass(frozen=True)
class Progress:
    """How far a run has come: `losses` holds the training loss of each step done, in nats per token."""

    step: int
    losses: Tensor
    seconds: float


def save(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
    """Write the checkpoint of `progress.step` and remove those older than the last `KEPT`."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"writing-{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        files = {
            "weights.safetensors": weights_of(model),
            "optimizer.safetensors": moments_of(model, optimizer),
            "losses.safetensors": {"losses": progress.losses},
        }
        for name, tensors in files.items():
            save_tensors(partial / name, tensors)
        position = {
            "step": progress.step,
            "seconds": progress.seconds,
            "sha256": {name: file_sha256(partial / name) for name in files},
        }
        write_durably(partial / "position.json", json.dumps(position).encode())
        target = folder / f"step-{progress.step:010d}"
        shutil.rmtree(target, ignore_errors=True)
        os.rename(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    for old in checkpoints(folder)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def restore(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Progress | None:
    """Load the newest undamaged checkpoint into `model` and `optimizer`; None when there is none.

    A damaged one is passed over with a warning.
    """
    for path in reversed(checkpoints(folder)):
        try:
            return _load(path, model, optimizer)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            warnings.warn(f"checkpoint {path} is damaged ({error}); the one before it is used", stacklevel=2)
    return None


def _load(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
    position = json.loads((path / "position.json").read_text())
    for name, digest in position["sha256"].items():
        if file_sha256(path / name) != digest:
            raise ValueError(f"{name} does not match its checksum")
    losses = load_file(path / "losses.safetensors")["losses"]
    weights, moments = load_file(path / "weights.safetensors"), load_file(path / "optimizer.safetensors")
    model.load_state_dict(weights, strict=False)
    _load_moments(model, optimizer, moments)
    return Progress(position["step"], losses, position["seconds"])


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoint folders of a run, oldest first."""
    return sorted(folder.glob("step-*"))


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Every persistent tensor of a model by name; a tied one once, under its first name."""
    seen: set[int] = set()
    tensors = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            tensors[name] = tensor.detach().contiguous().cpu()
    return tensors


def moments_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's tensors as `parameter|name`, so that they do not depend on the order of groups."""
    return {
        f"{name}|{key}": cast("Tensor", value).detach().contiguous().cpu()
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def _load_moments(model: nn.Module, optimizer: torch.optim.Optimizer, moments: dict[str, Tensor]) -> None:
    parameters = dict(model.named_parameters())
    for path, tensor in moments.items():
        name, _, key = path.rpartition("|")
        device = "cpu" if key == "step" and parameters[name].device.type == "cpu" else parameters[name].device
        optimizer.state[parameters[name]][key] = tensor.to(device)


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file and flush it to disk."""
    save_file(tensors, path)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_durably(path: Path, content: bytes) -> None:
    """Write a small file and flush it to disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
