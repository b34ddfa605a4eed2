"""How fast are the arms, and in how much memory? Each case is timed for all arms at once, interleaved (blocks.py).

One row an arm and case: training tokens/s, prefill tokens/s, decode tokens/s and latency at every context; beside
them what the arm holds in memory and on which kernels it ran. Timings on a CPU are a result of their own and say
nothing of a GPU.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from harness.model.transformer import Transformer
from harness.plan.ledger import Ledger
from harness.score.throughput import workloads
from harness.score.throughput.arm import Arm, Settings
from harness.score.throughput.blocks import time_blocks
from harness.score.throughput.ceilings import Ceilings, ceilings, device_name
from harness.score.throughput.latency import LatencyFit, fit_latency
from harness.score.throughput.machine import machine_state
from harness.score.throughput.results import ArmFacts, Row, Throughput, row
from harness.score.throughput.workloads import Case

TEXT_TOKENS = 2**16
"""Tokens of a made-up text, repeated where more are read. Assumption: experts meet enough different ones."""

RECOMPILATIONS = 256
"""Shapes times arms that may be compiled; torch's own limit of 8 would let the ninth run eager and say nothing."""

Timed = dict[tuple[str, Case], list[float]]


@dataclass(frozen=True)
class Candidate:
    """An arm to be timed. `model` None is built with initial values, and its router, if any, routes at random."""

    name: str
    ledger: Ledger
    model: Transformer | None = None


def measure(
    candidates: Sequence[Candidate],
    settings: Settings,
    device: torch.device,
    cache_folder: Path,
    *,
    text: Tensor | None = None,
    on_progress: Callable[[str], None] = lambda what: None,
) -> Throughput:
    """Time the arms, which have different names and one seq_len. A model that was handed in keeps its weights and
    is left on the device, in the dtype.

    Args:
        cache_folder: where this device's ceilings are kept.
        text: (tokens,) what the models read; tokens at random when None.
    """
    (seq_len,) = {c.ledger.spec.seq_len for c in candidates}
    assert len({c.name for c in candidates}) == len(candidates), "arms are told apart by name"
    before = machine_state(device)
    on_progress("ceilings")
    limits = ceilings(device, settings.dtype, cache_folder)
    timed: Timed = {}
    with _many_compilations() if settings.compiled else contextlib.nullcontext():
        arms = [_arm(c, settings, device, text) for c in candidates]
        for group in settings.groups(seq_len):
            on_progress(f"{group[0].kind}, batch {group[0].batch_size}")
            timed |= time_group(arms, group, settings.num_blocks)
    after = machine_state(device)
    cases = [case for group in settings.groups(seq_len) for case in group]
    rows = tuple(_row(arm, case, timed, arms[0].name, limits) for case in cases for arm in arms)
    facts = tuple(_facts(arm, cases, timed) for arm in arms)
    for arm in arms:
        arm.restore()
    return Throughput(
        device=device_name(device),
        dtype=str(settings.dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        num_blocks=settings.num_blocks,
        machine=(before, after),
        ceilings=limits,
        arms=facts,
        rows=rows,
    )


def time_group(arms: Sequence[Arm], group: Sequence[Case], num_blocks: int) -> Timed:
    """Seconds of the blocks of every arm that has the case: for each case all arms, and ABBA over the whole."""
    by_arm = [(arm, arm.blocks(group)) for arm in arms]
    keys = [(arm.name, case) for case in group for arm, blocks in by_arm if case in blocks]
    calls = [blocks[case] for case in group for _, blocks in by_arm if case in blocks]
    return dict(zip(keys, time_blocks(calls, num_blocks), strict=True))


def _arm(candidate: Candidate, settings: Settings, device: torch.device, text: Tensor | None) -> Arm:
    spec = candidate.ledger.spec
    if text is None:
        text = torch.randint(spec.vocab_size, (TEXT_TOKENS,), generator=torch.Generator().manual_seed(0))
    return Arm(candidate.name, candidate.ledger, candidate.model, settings, device, text)


def _row(arm: Arm, case: Case, timed: Timed, first: str, limits: Ceilings) -> Row:
    kernels = arm.kernels.text
    seconds = timed.get((arm.name, case))
    if seconds is None:
        reason = workloads.refusal(arm.model, case)
        return Row(arm.name, case.kind, case.batch_size, case.context, kernels, unavailable=reason)
    reference = None if arm.name == first else timed.get((first, case))
    return row(arm.name, case, seconds, first=reference, work=arm.work(case), ceilings=limits, kernels=kernels)


def _facts(arm: Arm, cases: Sequence[Case], timed: Timed) -> ArmFacts:
    return ArmFacts(
        arm=arm.name,
        num_params=arm.ledger.num_params,
        kernels=arm.kernels,
        routing=arm.routing,
        peak_memory=arm.peak_memory,
        kv_bytes_per_token=arm.kv_bytes_per_token,
        compile_seconds=arm.compile_seconds,
        decode_fits=tuple((size, _fit(arm, size, cases, timed)) for size in arm.settings.batch_sizes),
    )


def _fit(arm: Arm, batch_size: int, cases: Sequence[Case], timed: Timed) -> LatencyFit | None:
    wanted = [c for c in cases if c.kind == "decode" and c.batch_size == batch_size and (arm.name, c) in timed]
    return fit_latency([c.context for c in wanted], [timed[arm.name, c] for c in wanted])


def _many_compilations() -> contextlib.AbstractContextManager[None]:
    from torch._dynamo import config  # importing the compiler takes seconds

    return cast("Any", config).patch(recompile_limit=RECOMPILATIONS)
