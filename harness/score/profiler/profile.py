"""Where the time of a training step and of decoding goes, by kind of operation; and the traces for TensorBoard.

Two passes of each: one in ranges and without stacks, whose times are the numbers; one with shapes, stacks and
memory, whose times are stretched by that, written as LOGDIR/train and LOGDIR/decode for

    tensorboard --logdir LOGDIR        with torch-tb-profiler installed
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import DeviceType, ProfilerActivity, profile, schedule, tensorboard_trace_handler

from harness.model.transformer import Transformer
from harness.plan.ledger import Ledger
from harness.score.profiler.kinds import KINDS, Event, Kind, time_by_kind
from harness.score.profiler.ranges import kind_ranges
from harness.score.throughput import workloads
from harness.score.throughput.blocks import synchronise
from harness.score.throughput.workloads import Case, Workload

STEPS = 5
"""Calls that are profiled, each by itself. The quickest is the measurement: what a neighbour on the machine takes from
a call is added to whatever operators ran then (measured on a busy machine: two dense arms apart by 8 times)."""

TRACED_STEPS = 2
"""Calls in a trace, after one that only warms the profiler up. Assumption: enough to see, small enough to load."""

WARM_UP = 3
"""Calls before the profiler starts. Assumption."""


@dataclass(frozen=True)
class KindTime:
    """One kind of operation: seconds a call and their share; forward FLOPs a token and theirs, None for decoding."""

    kind: Kind
    seconds: float
    share: float
    flops: float | None
    flops_share: float | None


@dataclass(frozen=True)
class WorkProfile:
    """`operators_seconds` is the sum over kinds; `wall_seconds` a call, as profiled: the rest is Python and waiting.

    `trace` is the folder that TensorBoard shows as a run; None where none was asked for.
    """

    work: workloads.Kind
    batch_size: int
    context: int
    kinds: tuple[KindTime, ...]
    operators_seconds: float
    wall_seconds: float
    trace: str | None


@dataclass(frozen=True)
class Profile:
    """Of a training step, and of one decoded token; `decode` is None for a variant that cannot."""

    train: WorkProfile
    decode: WorkProfile | None

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def profile_model(
    model: Transformer,
    ledger: Ledger,
    text: Tensor,
    *,
    tokens_per_step: int,
    logdir: Path | None = None,
) -> Profile:
    """Profile a model, which keeps its weights, on the device it is on.

    Args:
        text: (tokens,) what it reads; repeated where it is too short.
        logdir: where the traces go; those of an earlier profile there are replaced. None writes none.
    """
    device = model.embedding.weight.device
    text, seq_len = text.to(device), model.spec.seq_len
    batch_size = max(1, tokens_per_step // seq_len)
    training = Case("train", batch_size, seq_len)
    train = _profile(model, ledger, workloads.training(model, text, batch_size), training, logdir)
    decode = None
    case = Case("decode", 1, seq_len)
    if not workloads.refusal(model, case):
        state = workloads.filled_state(model, text, 1, seq_len)
        decode = _profile(model, None, workloads.decoding(model, state, text, case), case, logdir)
    return Profile(train, decode)


def _profile(model: Transformer, ledger: Ledger | None, load: Workload, case: Case, logdir: Path | None) -> WorkProfile:
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # its notices go past Python's standard error
    device = model.embedding.weight.device
    load.prepare()
    for _ in range(WARM_UP):
        load.call()
    events, wall = measured(model, load.call, device)
    seconds = time_by_kind(events)
    trace = None if logdir is None else write_trace(load.call, logdir / case.kind, device)
    return WorkProfile(
        case.kind,
        case.batch_size,
        case.context,
        kind_times(seconds, None if ledger is None else flops_by_kind(ledger)),
        sum(seconds.values()),
        wall,
        None if trace is None else str(trace),
    )


def measured(model: Transformer, call: Callable[[], object], device: torch.device) -> tuple[list[Event], float]:
    """The events of the quickest of `STEPS` calls in ranges, and its wall-clock seconds."""
    with kind_ranges(model):
        profiled, wall = min((_profiled(call, device) for _ in range(STEPS)), key=lambda made: made[1])
    return events_of(profiled.events(), on_device=device.type == "cuda"), wall


def _profiled(call: Callable[[], object], device: torch.device) -> tuple[profile, float]:
    """One call, and its wall-clock seconds."""
    with profile(activities=activities(device)) as profiled:
        synchronise(device)
        started = time.perf_counter()
        call()
        synchronise(device)
        wall = time.perf_counter() - started
    return profiled, wall


def events_of(recorded: Any, *, on_device: bool) -> list[Event]:
    """The profiler's host events, by order of start, as plain ones. Its times are in microseconds."""
    host: list[FunctionEvent] = [e for e in recorded if e.device_type == DeviceType.CPU and e.name != "[memory]"]
    host.sort(key=lambda e: (e.time_range.start, -e.time_range.end))
    index = {id(e): i for i, e in enumerate(host)}
    return [
        Event(
            name=e.name,
            seconds=1e-6 * (e.self_device_time_total if on_device else e.self_cpu_time_total),
            parent=None if e.cpu_parent is None else index[id(e.cpu_parent)],
            sequence=e.sequence_nr,
            thread=e.thread,
            forward_thread=-1 if e.fwd_thread is None else e.fwd_thread,
        )
        for e in host
    ]


def kind_times(seconds: dict[Kind, float], flops: dict[Kind, float] | None) -> tuple[KindTime, ...]:
    """Every kind with its shares; the shares of seconds sum to 1, those of FLOPs too."""
    total = sum(seconds.values())
    total_flops = None if flops is None else sum(flops.values())
    return tuple(
        KindTime(
            kind,
            seconds[kind],
            seconds[kind] / total if total else 0.0,
            None if flops is None else flops.get(kind, 0.0),
            None if flops is None or not total_flops else flops.get(kind, 0.0) / total_flops,
        )
        for kind in KINDS
    )


def flops_by_kind(ledger: Ledger) -> dict[Kind, float]:
    """Forward FLOPs per token; attention as executed, with the masked scores and the rotations."""
    f = ledger.flops
    attention = f.attention + f.attention_masked + f.rotation
    return {
        "matmul": f.matmul,
        "attention": attention,
        "norm": f.norm,
        "activation": f.activation,
        "conv": f.conv,
        "router": f.router,
    }


def write_trace(call: Callable[[], object], folder: Path, device: torch.device) -> Path:
    """A trace of `TRACED_STEPS` calls with shapes, stacks and memory, alone in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.pt.trace.json*"):
        old.unlink()
    handler = tensorboard_trace_handler(str(folder), worker_name="harness", use_gzip=True)
    with profile(
        activities=activities(device),
        schedule=schedule(wait=0, warmup=1, active=TRACED_STEPS, repeat=1),
        on_trace_ready=handler,
        record_shapes=True,
        profile_memory=True,
        with_stack=True,
    ) as profiler:
        for _ in range(1 + TRACED_STEPS):
            call()
            synchronise(device)
            profiler.step()
    return folder


def activities(device: torch.device) -> list[ProfilerActivity]:
    """What is watched: the host, and a GPU where there is one."""
    host = [ProfilerActivity.CPU]
    return [*host, ProfilerActivity.CUDA] if device.type == "cuda" else host
