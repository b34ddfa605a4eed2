"""The measurement `profile` as rows: where the time goes by kind of operation, beside where the FLOPs go.

Two tenths of a percent of the FLOPs can be a quarter of the time (Ivanov et al. 2021, arXiv:2007.00072), which is why a
comparison at equal FLOPs has its seconds beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.analyse.quantities import percent, rounded
from harness.analyse.text import count

Work = Literal["train", "decode"]

WORKS: dict[Work, str] = {"train": "training step", "decode": "decoded token"}

KINDS = {
    "matmul": "matrix products",
    "attention": "attention",
    "norm": "normalisation",
    "activation": "activations",
    "conv": "convolutions",
    "router": "routing",
    "optimizer": "optimizer",
    "other": "everything else",
}
"""As harness/score/profiler/kinds.py names them, in its order, in words."""

UNCOUNTED = ("optimizer", "other")
"""Kinds that count no FLOPs."""

LEAST_SHARE = 0.001
"""Of the time, for a kind to be in a sentence. Assumption."""

TOP_ROWS = 10
"""Rows of an arm in a table of operators or of memory; the measurement has more."""

MOST_MODULES = 20
"""Rows of an arm in a table of modules: the first layers, which the others repeat."""


@dataclass(frozen=True)
class KindShare:
    """One kind of operation: milliseconds a call, its share of the time, and of the forward FLOPs where known."""

    kind: str
    milliseconds: float
    share: float
    flops_share: float | None


@dataclass(frozen=True)
class WorkTime:
    """One arm at one work. `operators` is the sum over kinds and `wall` the clock's, milliseconds a call."""

    arm: str
    is_baseline: bool
    work: Work
    batch_size: int
    context: int
    kinds: list[KindShare]
    operators: float
    wall: float

    def of(self, kind: str) -> KindShare | None:
        """A kind, None where it takes no time and does no FLOPs."""
        found = next((k for k in self.kinds if k.kind == kind), None)
        return found if found is not None and (found.milliseconds or found.flops_share) else None


@dataclass(frozen=True)
class TableRow:
    """A row of an arm's trace: a name with its depth, how often it was called, what it took itself and with its parts.

    Operators and modules take milliseconds, memory KB allocated.
    """

    arm: str
    name: str
    depth: int
    calls: int
    own: float
    total: float


def work_times(detail: Mapping[str, Any], work: Work) -> list[WorkTime]:
    """Of the arms that were profiled at this work, the baseline first."""
    return [
        _work_time(arm["arm"], i == 0, work, arm["profile"][work])
        for i, arm in enumerate(detail["arms"])
        if arm["profile"][work] is not None
    ]


def kinds_in(times: Sequence[WorkTime]) -> list[str]:
    """The kinds that any arm spends time or FLOPs on, in their order."""
    return [kind for kind in KINDS if any(time.of(kind) is not None for time in times)]


def sentence(time: WorkTime) -> str:
    """`gpt2, a training step: normalisation is 0.9 % of the FLOPs and 6.3 % of the time; matrix products are ...`."""
    begin = f"{time.arm}, a {WORKS[time.work]}: "
    told = [k for k in time.kinds if k.share >= LEAST_SHARE and k.kind not in UNCOUNTED]
    if not told or all(k.flops_share is None for k in told):
        most = sorted(told, key=lambda k: k.share, reverse=True)[:3]
        said = ", ".join(f"{KINDS[k.kind]} {percent(k.share)}" for k in most)
        return f"{begin}{said or 'nothing that was counted'} of the time of {rounded(time.operators)} ms."
    costly = sorted((k for k in told if k.kind != "matmul"), key=_cost, reverse=True)[:2]
    products = [k for k in told if k.kind == "matmul"]
    said = "; ".join(_shares(k) for k in [*costly, *products])
    rest = sum(k.share for k in time.kinds if k.kind in UNCOUNTED)
    return f"{begin}{said}; the optimizer and everything else, which count no FLOPs, take {percent(rest)} of the time."


def outside(times: Sequence[WorkTime]) -> str:
    """How much of the clock no operator accounts for."""
    shares = [1 - time.operators / time.wall for time in times if time.wall > 0]
    if not shares:
        return ""
    low, high = percent(min(shares), 0), percent(max(shares), 0)
    of_them = low if low == high else f"{low} to {high}"
    return f"Python and waiting take {of_them} of the clock of a {WORKS[times[0].work]}, which is in no share above."


def table(detail: Mapping[str, Any], work: Work, name: str, arms: int) -> list[TableRow]:
    """`operators`, `modules` or `memory` of the first arms: of each arm the first rows, which are the top ones, but for
    modules, which stand as a tree.
    """
    rows = []
    for arm in detail["arms"][:arms]:
        tables = arm["tables"][work]
        found = [] if tables is None else tables[name][: MOST_MODULES if name == "modules" else TOP_ROWS]
        on_device = any(row.get("device_self_duration") or row.get("device_duration") for row in found)
        rows += [_ROW[name](arm["arm"], row, "device" if on_device else "host") for row in found]
    return rows


def arms_note(shown: int, total: int) -> str:
    """What a table that leaves arms out says; empty for one that has them all."""
    return f"The first {shown} of {count(total, 'arm')}; measurements/profile.json has all. " if shown < total else ""


def _shares(k: KindShare) -> str:
    verb = "is" if k.kind in ("norm", "attention", "router") else "are"
    return f"{KINDS[k.kind]} {verb} {percent(k.flops_share)} of the FLOPs and {percent(k.share)} of the time"


def _cost(k: KindShare) -> float:
    """Share of time for share of FLOPs; what takes time for nothing comes first."""
    return k.share / k.flops_share if k.flops_share else float("inf")


def _work_time(arm: str, is_baseline: bool, work: Work, body: Mapping[str, Any]) -> WorkTime:
    return WorkTime(
        arm=arm,
        is_baseline=is_baseline,
        work=work,
        batch_size=body["batch_size"],
        context=body["context"],
        kinds=[KindShare(k["kind"], 1e3 * k["seconds"], k["share"], k["flops_share"]) for k in body["kinds"]],
        operators=1e3 * body["operators_seconds"],
        wall=1e3 * body["wall_seconds"],
    )


def _operator(arm: str, row: Mapping[str, Any], where: str) -> TableRow:
    own, total = row[f"{where}_self_duration"], row[f"{where}_total_duration"]
    return TableRow(arm, row["name"], 0, row["calls"], 1e-3 * own, 1e-3 * total)


def _module(arm: str, row: Mapping[str, Any], where: str) -> TableRow:
    own, total = row[f"self_{where}_duration"], row[f"{where}_duration"]
    # the plugin's own spelling of the number of calls
    return TableRow(arm, row["name"], row["depth"], row["occurences"], 1e-3 * own, 1e-3 * total)


def _memory(arm: str, row: Mapping[str, Any], where: str) -> TableRow:
    own, total = row["Self Allocation Size (KB)"], row["Allocation Size (KB)"]
    return TableRow(arm, row["Operator Name"], 0, row["Calls"], own, total)


_ROW = {"operators": _operator, "modules": _module, "memory": _memory}
