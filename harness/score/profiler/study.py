"""The profile of a study: of every arm, where the time goes, its roofline, and the tables of its traces.

    tensorboard --logdir LOGDIR        shows every arm's training step and decoding as a run

Plain JSON, small enough to stand in a study's folder: the traces themselves keep what the tables leave out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.model.transformer import Transformer
from harness.score.profiler.folders import folders
from harness.score.profiler.profile import WorkProfile, profile_model
from harness.score.profiler.roofline import roofline
from harness.score.profiler.tables import TraceTables, read_tables
from harness.score.throughput.ceilings import ceilings
from harness.score.throughput.measure import Candidate

TOP_ROWS = 20
"""Operators by their own time, and rows of memory by what they allocate, of each table. Assumption."""

DEEPEST_MODULE = 3
"""Modules below the model, its layers and their parts are left to the trace."""

OWN_TIME = {"host": "host_self_duration", "device": "device_self_duration"}
OWN_ALLOCATION = "Self Allocation Size (KB)"


def profile_arms(
    candidates: Sequence[Candidate],
    text: Tensor,
    *,
    tokens_per_step: int,
    device: torch.device,
    cache_folder: Path,
    logdir: Path,
    on_progress: Callable[[str], None] = lambda what: None,
) -> dict[str, Any]:
    """The detail of a study's measurement `profile`; arms one after the other, for each its traces under `logdir`. A
    model that was handed in keeps its weights and is left on the device.

    Args:
        text: (tokens,) what the models read; repeated where it is too short.
        cache_folder: where this device's ceilings are kept.
        logdir: gets a folder an arm (`folders`), with the runs train and, where the arm can decode, decode in it.

    Raises:
        UserError: the plugin cannot read a trace.
    """
    assert len({c.name for c in candidates}) == len(candidates), "arms are told apart by name"
    at = folders([c.name for c in candidates])
    arms = []
    for candidate in candidates:
        on_progress(f"profile of {candidate.name}")
        arms.append(_arm(candidate, text, tokens_per_step, device, cache_folder, logdir / at[candidate.name]))
    return {"arms": arms}


def _arm(
    candidate: Candidate, text: Tensor, tokens_per_step: int, device: torch.device, cache_folder: Path, folder: Path
) -> dict[str, Any]:
    ledger = candidate.ledger
    model = (candidate.model or Transformer(ledger.spec, seed=0)).to(device)
    training, buffers = model.training, {name: buffer.clone() for name, buffer in model.named_buffers()}
    made = profile_model(model, ledger, text, tokens_per_step=tokens_per_step, logdir=folder)
    model.train(training)
    for name, buffer in model.named_buffers():  # a training step moves the biases of routers
        buffer.copy_(buffers[name])
    limits = ceilings(device, model.embedding.weight.dtype, cache_folder)
    return {
        "arm": candidate.name,
        "profile": made.to_json(),
        "roofline": roofline(ledger, limits).to_json(),
        "tables": {"train": _tables(made.train), "decode": made.decode and _tables(made.decode)},
    }


def _tables(work: WorkProfile) -> dict[str, Any]:
    assert work.trace is not None
    return shortened(read_tables(Path(work.trace))).to_json()


def shortened(tables: TraceTables) -> TraceTables:
    """The rows that matter most: `TOP_ROWS` operators and rows of memory, modules down to `DEEPEST_MODULE`.

    Operators are ordered by their own time on the device where any has such, else on the host.
    """
    on_device = any(row.get(OWN_TIME["device"]) for row in tables.operators)
    own_time = OWN_TIME["device" if on_device else "host"]
    return TraceTables(
        operators=_top(tables.operators, own_time),
        modules=tuple(row for row in tables.modules if row["depth"] <= DEEPEST_MODULE),
        memory=_top(tables.memory, OWN_ALLOCATION),
    )


def _top(rows: Sequence[dict[str, Any]], column: str) -> tuple[dict[str, Any], ...]:
    """The `TOP_ROWS` rows with most in a column; what is not in a row is nothing."""
    return tuple(sorted(rows, key=lambda row: float(row.get(column, 0)), reverse=True)[:TOP_ROWS])
