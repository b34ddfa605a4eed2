"""What a throughput measurement says, as plain data, and the arithmetic from seconds to it. No clock here."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.score.throughput.ceilings import Ceilings
from harness.score.throughput.kernels import KernelMode
from harness.score.throughput.latency import LatencyFit
from harness.score.throughput.machine import MachineState
from harness.score.throughput.memory import PeakMemory
from harness.score.throughput.statistics import LogRatio, Summary, log_ratio, summary
from harness.score.throughput.workloads import Case, Kind

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class Work:
    """What one call of a case must do: model FLOPs, and the bytes it must read where that bounds it, else None."""

    flops: float
    num_bytes: float | None


@dataclass(frozen=True)
class Row:
    """One arm in one case. `unavailable` says why there are no numbers; empty when there are.

    `tokens_per_s`: higher is better. `seconds` of one call, for decode the latency of a token: lower is better.
    `against_first` is the log-ratio of tokens/s to the first arm's; None for the first arm, or where either has no
    numbers. `mfu` is model FLOP/s over the device's ceiling and `bandwidth` the bytes that must be read over its
    copy ceiling; None where a ceiling is unknown, or the case is bound by arithmetic.
    """

    arm: str
    kind: Kind
    batch_size: int
    context: int
    kernels: str
    unavailable: str = ""
    tokens_per_s: Summary | None = None
    seconds: Summary | None = None
    against_first: LogRatio | None = None
    mfu: float | None = None
    bandwidth: float | None = None


@dataclass(frozen=True)
class ArmFacts:
    """What an arm holds. `kv_bytes_per_token` is in the dtype that was run, None for a variant that cannot decode.

    `compile_seconds` is None when eager. `routing` says whether the experts of a mixture were chosen by trained
    routers. `decode_fits` has (batch size, latency = a + b context), None where there were too few contexts.
    """

    arm: str
    num_params: dict[str, int]
    kernels: KernelMode
    routing: Literal["none", "trained", "random"]
    peak_memory: PeakMemory
    kv_bytes_per_token: float | None
    compile_seconds: float | None
    decode_fits: tuple[tuple[int, LatencyFit | None], ...]


@dataclass(frozen=True)
class Throughput:
    """All rows, case by case, the first arm first. `machine` says how quiet and how warm it was, before and after."""

    device: str
    dtype: str
    threads: int
    torch: str
    num_blocks: int
    machine: tuple[MachineState, MachineState]
    ceilings: Ceilings
    arms: tuple[ArmFacts, ...]
    rows: tuple[Row, ...]
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "ceilings": self.ceilings.to_json()}

    def find(self, arm: str, kind: Kind, batch_size: int, context: int) -> Row | None:
        """The row of an arm and case; None when it was not asked for."""
        wanted = (arm, kind, batch_size, context)
        return next((r for r in self.rows if (r.arm, r.kind, r.batch_size, r.context) == wanted), None)


def row(
    arm: str,
    case: Case,
    seconds: Sequence[float],
    *,
    first: Sequence[float] | None,
    work: Work,
    ceilings: Ceilings,
    kernels: str,
) -> Row:
    """The row of timed blocks; `first` are the first arm's, None for that arm itself or where it has none."""
    a_call = summary(seconds)
    return Row(
        arm,
        case.kind,
        case.batch_size,
        case.context,
        kernels,
        tokens_per_s=summary([case.tokens / s for s in seconds]),
        seconds=a_call,
        against_first=None if first is None else log_ratio(first, seconds),
        mfu=share(work.flops, a_call.median, ceilings.flops_per_s),
        bandwidth=share(work.num_bytes, a_call.median, ceilings.bytes_per_s),
    )


def share(amount: float | None, seconds: float, ceiling: float | None) -> float | None:
    """(amount / seconds) / ceiling; None when the amount or the ceiling is unknown."""
    return None if amount is None or ceiling is None else amount / seconds / ceiling
