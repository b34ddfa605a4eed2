"""The engines by name. Those that need a package of their own load it when they are asked for."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.engine.interface import Engine
from harness.engine.local import LocalEngine
from harness.engine.packing import RunsPerGpu
from variants.errors import UserError, nearest

ENGINES = {
    "local": "processes on this machine",
    "ray": "tasks on a Ray cluster (--address)",
    "slurm": "jobs handed in with sbatch",
}
"""Names and what they are, as the help shows them."""

SLURM_MINUTES = 60
"""Time limit of a Slurm job; a run that takes longer goes on in a new one. Assumption: most queues take it."""


@dataclass(frozen=True)
class EngineChoice:
    """Which engine, as plain data that crosses a process boundary as JSON: the flags of `make_engine`."""

    name: str = "local"
    address: str | None = None
    runs_per_gpu: RunsPerGpu = 1
    slurm_partition: str | None = None
    slurm_minutes: int | None = None
    slurm_options: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> EngineChoice:
        return cls(**{**data, "slurm_options": tuple(data["slurm_options"])})

    def make(self, num_workers: int | None, log: Path) -> Engine:
        """See `make_engine`."""
        flags = {name: value for name, value in self.__dict__.items() if name != "name"}
        return make_engine(self.name, num_workers=num_workers, log=log, **flags)


def make_engine(
    name: str,
    *,
    num_workers: int | None,
    log: Path,
    address: str | None = None,
    runs_per_gpu: RunsPerGpu = 1,
    slurm_partition: str | None = None,
    slurm_minutes: int | None = None,
    slurm_options: Sequence[str] = (),
) -> Engine:
    """The engine of the flags --engine, --address and --slurm-*.

    Args:
        num_workers: runs at a time; None: one a core of this machine, `runs_per_gpu` a GPU where it trains on them, and
            elsewhere as many as there is room for.
        log: file for what goes wrong.
        slurm_options: NAME=VALUE of sbatch.

    Raises:
        UserError: no such engine, its package is not installed, or a flag that belongs to another engine.
    """
    if name not in ENGINES:
        raise UserError(f"unknown engine {name!r}{nearest(name, ENGINES)}")
    slurm_flags = {"--slurm-partition": slurm_partition, "--slurm-minutes": slurm_minutes}
    slurm_flags["--slurm-option"] = list(slurm_options) or None
    _only(name, "ray", {"--address": address})
    _only(name, "slurm", slurm_flags)
    if name != "local" and runs_per_gpu == "auto":
        raise UserError(f"--runs-per-gpu auto measures on this machine, got --engine {name}; give a number")
    if name == "ray":
        module = _module("ray_cluster", "ray")
        return module.RayEngine(address or "auto", log, num_workers, runs_per_gpu)
    if name == "slurm":
        if runs_per_gpu != 1:
            raise UserError(f"--engine slurm gives each run a GPU of its own, got {runs_per_gpu} runs a GPU; use ray")
        module = _module("slurm", "submitit", extra="slurm")
        options = module.SlurmOptions.from_flags(slurm_partition, slurm_minutes or SLURM_MINUTES, slurm_options)
        return module.SlurmEngine(log, num_workers, options)
    return LocalEngine(num_workers, log, runs_per_gpu=runs_per_gpu)


def _only(name: str, owner: str, flags: dict[str, object]) -> None:
    """Refuse flags of `owner` that were given to another engine, where they would do nothing."""
    for flag, value in flags.items():
        if value is not None and name != owner:
            raise UserError(
                f"{flag} belongs to --engine {owner}, and the engine is {name}; leave it out or add --engine {owner}"
            )


def _module(module: str, package: str, extra: str = "ray") -> ModuleType:
    try:
        return importlib.import_module(f"harness.engine.{module}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise UserError(
            f"--engine {extra} needs the package {package}, which is not installed; "
            f"pip install 'ablation-harness[{extra}]'"
        ) from error
