"""Checkpoints of a run that several processes train: each writes what it holds, and any number of them goes on from it.

torch.distributed.checkpoint says who writes and who reads which part of a tensor; the files are safetensors, one a
process, whose headers say where in each tensor their parts stand (docs/decisions/0520). Its own format is not used:
there the list of parts, `.metadata`, is a pickle. A folder is otherwise as in harness/train/checkpoint.py: written
under another name, renamed when whole, with a `position.json` that holds the SHA-256 of every file.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.distributed import checkpoint as dcp
from torch.distributed.checkpoint import HuggingFaceStorageReader, HuggingFaceStorageWriter

from harness.train.checkpoint import (
    CheckpointError,
    Progress,
    file_sha256,
    new_checkpoint,
    newest_intact,
    partial_of,
    persistent,
    read_position,
    save_tensors,
    write_position,
)

if TYPE_CHECKING:
    from harness.train.team import Team

WRITER = "together"
HISTORY = "history.safetensors"
SHARDS = "shard-*.safetensors"


def save(
    team: Team,
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    *,
    keep_all: bool = False,
) -> None:
    """As `checkpoint.save`; called by all processes. The first must hold the run's lock.

    Raises:
        CheckpointError: the disk refuses. Where it refuses the first process alone, the others are ended with it.
    """
    partial = partial_of(folder, WRITER)
    with contextlib.ExitStack() as stack:
        if team.first:
            stack.enter_context(new_checkpoint(folder, progress.step, WRITER, keep_all=keep_all))
        team.agree(False)  # nobody writes before there is a folder
        try:
            dcp.save(
                {**weights_by_key(model), **moments_by_key(model, optimizer)},
                storage_writer=HuggingFaceStorageWriter(str(partial), save_distributed=True),
            )
        except dcp.CheckpointException as error:  # the same in all processes
            causes = "; ".join(sorted({str(cause) for cause, _ in error.failures.values()}))
            raise CheckpointError(f"cannot write the checkpoint {partial}: {causes}") from error
        digests = sha256_of(team, sorted(partial.glob(SHARDS)))
        if team.first:
            save_tensors(partial / HISTORY, {"history": progress.history})
            digests[HISTORY] = file_sha256(partial / HISTORY)
            write_position(partial, progress, digests, history=team.history)
    team.agree(False)  # nobody leaves, or reads, before it has its name


def restore(
    team: Team, folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, last: int | None
) -> tuple[Progress, list[list[Any]]] | None:
    """As `checkpoint.restore`; called by all processes. Also the first step of each stretch, and who did it."""
    return newest_intact(folder, lambda path: _load(team, path, model, optimizer), last)


def _load(
    team: Team, path: Path, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[Progress, list[list[Any]]]:
    """Everything is checked before the first tensor is touched; ValueError where something is wrong."""
    position = read_position(path)
    expected = position["sha256"]
    found = sha256_of(team, [path / name for name in sorted(expected)])
    for name in sorted(expected):
        if found[name] != expected[name]:
            raise ValueError(f"{name} does not match its checksum")
    tensors = HuggingFaceStorageReader(str(path)).read_metadata().state_dict_metadata
    state: dict[str, Any] = weights_by_key(model)
    shapes = {key: entry.size for key, entry in tensors.items() if key.startswith("weights|")}  # pyright: ignore
    if shapes != {key: tensor.shape for key, tensor in state.items()}:
        raise ValueError("its weights are another model's")
    parameters = dict(model.named_parameters())
    for key in tensors.keys() - state.keys() - {"history"}:
        _, name, moment = key.split("|")
        parameter = parameters[name]
        state[key] = _new_step(parameter) if moment == "step" else torch.zeros_like(parameter.detach())
        optimizer.state[parameter][moment] = state[key]
    dcp.load(state, storage_reader=HuggingFaceStorageReader(str(path)))
    history = load_file(path / HISTORY)["history"]
    return Progress(position["step"], history, position["seconds"]), position["history"]


def _new_step(parameter: Tensor) -> Tensor:
    """The optimizer's count of steps, where its fused kernel wants it."""
    return torch.zeros((), dtype=torch.float32, device=parameter.device)


def weights_by_key(model: nn.Module) -> dict[str, Tensor]:
    return {f"weights|{name}": tensor for name, tensor in persistent(model).items()}


def moments_by_key(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"moments|{name}|{key}": value.detach()
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def sha256_of(team: Team, files: list[Path]) -> dict[str, str]:
    """Checksums by name, each computed by one of the processes; zeros where a file cannot be read."""
    digests = torch.zeros(len(files), hashlib.sha256().digest_size, dtype=torch.uint8)
    for i in range(team.rank, len(files), team.parallel.processes):
        with contextlib.suppress(OSError):
            digests[i] = torch.tensor(list(bytes.fromhex(file_sha256(files[i]))), dtype=torch.uint8)
    dist.all_reduce(digests)
    return {file.name: bytes(row.tolist()).hex() for file, row in zip(files, digests, strict=True)}
