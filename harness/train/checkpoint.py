"""What a killed run needs to end with the same bits: weights, optimizer moments, the losses and gradient norms
so far, the step.

A checkpoint is a folder `step-N` with safetensors files and a `position.json` that holds their SHA-256 and its own.
It is written under another name, flushed to disk and renamed, so a kill leaves the one before it. One that is cut
short or changed is found by its checksums and passed over. No pickle.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from harness.spec.digest import json_sha256

KEPT = 2
"""Checkpoints kept of a running run: the newest, and one before it should that one be damaged."""

FILES = ("weights.safetensors", "optimizer.safetensors", "history.safetensors")
T = TypeVar("T")
NAME = re.compile(r"step-\d{10}")


class CheckpointError(OSError):
    """The disk refused tensors of a run. The message says which file and why; what was kept before still is."""


class RunNote(UserWarning):
    """What a user should know of a run that goes on; a study shows it."""


class DamagedCheckpoint(RunNote):
    """A checkpoint was passed over. The message says which, why, and where the run goes on."""


@dataclass(frozen=True)
class Progress:
    """How far a run has come. `history` (2, steps) holds of each step done the training loss, nats per token, and the
    norm of the gradient before clipping.
    """

    step: int
    history: Tensor
    seconds: float


def save(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress, *, keep_all: bool = False
) -> None:
    """Write the checkpoint of `progress.step` and remove all but the last `KEPT`. The run's lock must be held.

    Raises:
        CheckpointError: the disk refuses, being full for instance; the checkpoints before this one still are.
    """
    tensors = dict(
        zip(FILES, (weights_of(model), moments_of(model, optimizer), {"history": progress.history}), strict=True)
    )
    with new_checkpoint(folder, progress.step, str(os.getpid()), keep_all=keep_all) as partial:
        for name in FILES:
            save_tensors(partial / name, tensors[name])
        write_position(partial, progress, {name: file_sha256(partial / name) for name in FILES})


@contextlib.contextmanager
def new_checkpoint(folder: Path, step: int, writer: str, *, keep_all: bool = False) -> Iterator[Path]:
    """A folder to fill, which becomes the checkpoint of a step when all went well, and else is removed.

    Args:
        writer: what tells its name from that of other writers; theirs are removed, since the run's lock is held.

    Raises:
        CheckpointError: the disk refuses.
    """
    target, partial = folder / name_of(step), partial_of(folder, writer)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for abandoned in folder.glob("writing-*"):  # by processes that were killed
            shutil.rmtree(abandoned)
        partial.mkdir()
        yield partial
        _sync_folder(partial)
        shutil.rmtree(target, ignore_errors=True)  # a damaged one that the run has come past again
        os.rename(partial, target)
        _sync_folder(folder)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError) and not isinstance(error, CheckpointError):
            raise CheckpointError(f"cannot write the checkpoint {target}: {error.strerror or error}") from error
        raise
    if keep_all:
        return
    kept = [path for path in checkpoints(folder) if path <= target][-KEPT:]  # what lies beyond was damaged
    for other in {*checkpoints(folder)} - {*kept}:
        shutil.rmtree(other, ignore_errors=True)


def partial_of(folder: Path, writer: str) -> Path:
    """Where a checkpoint stands while it is written."""
    return folder / f"writing-{writer}"


def write_position(partial: Path, progress: Progress, sha256: dict[str, str], **more: Any) -> None:
    """`position.json`: step, seconds, the checksums of the other files, whatever else is to be known, and its own."""
    position = {"step": progress.step, "seconds": progress.seconds, "sha256": sha256, **more}
    sealed = {**position, "position_sha256": json_sha256(position)}
    write_durably(partial / "position.json", json.dumps(sealed).encode())


def restore(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, last: int | None = None
) -> Progress | None:
    """Load the newest undamaged checkpoint, of step `last` at most, into `model` and `optimizer`; None without one.

    One that is damaged is passed over with a warning, `DamagedCheckpoint`.
    """
    found = newest_intact(folder, lambda path: _read(path, model), last)
    if found is None:
        return None
    weights, moments, progress = found
    model.load_state_dict(weights, strict=False)  # a tied tensor is kept once
    _load_moments(model, optimizer, moments)
    return progress


def newest_intact(folder: Path, read: Callable[[Path], T], last: int | None = None) -> T | None:
    """What `read` makes of the newest checkpoint, of step `last` at most, that it does not refuse.

    `read` raises ValueError and the like at a damaged one; it is passed over with a warning, `DamagedCheckpoint`.
    """
    damaged, found, where = [], None, "the run starts anew"
    for path in reversed(checkpoints(folder)):
        if last is not None and path.name > name_of(last):
            continue
        try:
            found = read(path)
        except (OSError, ValueError, RecursionError, SafetensorError) as error:
            damaged.append(f"{path.name} ({error})")
            continue
        where = f"the run goes on from step {int(path.name.removeprefix('step-'))}"
        break
    if damaged:
        warnings.warn(f"damaged checkpoint {', '.join(damaged)}: {where}", DamagedCheckpoint, stacklevel=3)
    return found


def _read(path: Path, model: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor], Progress]:
    """Weights, moments and progress of an undamaged checkpoint of this model, else ValueError and the like."""
    position = read_position(path)
    for name in FILES:
        if file_sha256(path / name) != position["sha256"][name]:
            raise ValueError(f"{name} does not match its checksum")
    weights, moments, kept = (load_file(path / name) for name in FILES)
    expected = {name: tensor.shape for name, tensor in weights_of(model).items()}
    if {name: tensor.shape for name, tensor in weights.items()} != expected:
        raise ValueError("its weights are another model's")
    return weights, moments, Progress(position["step"], kept["history"], position["seconds"])


def read_position(path: Path) -> dict[str, Any]:
    """`position.json` of a checkpoint; ValueError when it is not as it was written."""
    position = json.loads((path / "position.json").read_text(encoding="utf-8"))
    sealed_as = position.pop("position_sha256", None) if isinstance(position, dict) else None
    if sealed_as is None or sealed_as != json_sha256(position):
        raise ValueError("position.json does not match its checksum")
    if path.name != name_of(position["step"]):
        raise ValueError(f"it is the checkpoint of step {position['step']}, put into the wrong folder")
    return position


def name_of(step: int) -> str:
    """The folder of the checkpoint after so many steps; names are in the order of steps."""
    return f"step-{step:010d}"


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoint folders of a run, oldest first."""
    return sorted(path for path in folder.glob("step-*") if NAME.fullmatch(path.name))


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Every persistent tensor of a model by name; a tied one once, under its first name."""
    return {name: tensor.contiguous().cpu() for name, tensor in persistent(model).items()}


def persistent(model: nn.Module) -> dict[str, Tensor]:
    """The same where they are, as views."""
    seen: set[int] = set()
    tensors = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            tensors[name] = tensor.detach()
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
    """Write a safetensors file and flush it to disk.

    Raises:
        CheckpointError: the disk refuses; the file is not there, or is cut short.
    """
    try:
        save_file(tensors, path)
        with path.open("rb") as file:
            os.fsync(file.fileno())
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot write {path}: {error}") from error


def write_durably(path: Path, content: bytes) -> None:
    """Write a small file and flush it to disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
