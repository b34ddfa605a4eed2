"""The measurement `throughput` as rows: what each arm did a second, against the baseline, and what it holds.

The intervals are of the blocks of one measurement: they say how sure a ratio is on this machine at that hour, and
nothing of another machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.analyse.quantities import Interval, change, rate, rounded
from harness.analyse.text import count, listing, number

MARGIN = 0.03
"""Of equivalence of two rates (definitions 3.5); two one-sided tests at 0.05, a 90 % interval within ln(1 +- it)."""

LISTED = 4
"""Arms that a sentence names one by one; of more it counts the words. Assumption."""

Kind = Literal["train", "prefill", "decode"]
Word = Literal["faster", "slower", "within 3 %", "inconclusive"]
WORDS: tuple[Word, ...] = ("faster", "slower", "within 3 %", "inconclusive")

CASES: dict[Kind, str] = {"train": "training", "prefill": "prefill", "decode": "decoding"}

ROUTING = {"none": "no experts", "trained": "by trained routers", "random": "by untrained routers"}


@dataclass(frozen=True)
class Spread:
    """A median over blocks and its 95 % interval."""

    median: float
    ci95: Interval


@dataclass(frozen=True)
class Against:
    """Tokens/s against the baseline's: (median, low, high) in percent of it, and the word that the interval allows."""

    percents: tuple[float, float, float]
    word: Word


@dataclass(frozen=True)
class CaseRow:
    """One arm in one case. `unavailable` says why there are no numbers. `milliseconds` are of one call."""

    arm: str
    kind: Kind
    batch_size: int
    context: int
    unavailable: str
    tokens_per_s: Spread | None
    milliseconds: Spread | None
    against: Against | None  # None for the baseline, and where either has no numbers
    mfu: float | None
    bandwidth: float | None


@dataclass(frozen=True)
class HoldRow:
    """What an arm holds and how it was run; None was not measured."""

    arm: str
    peak_bytes: float | None  # of a training step
    step_bytes: float | None  # of it, what the step allocates
    kv_bytes_per_token: float | None
    compile_seconds: float | None
    routing: str
    kernels: str


@dataclass(frozen=True)
class Timings:
    """All of it, in the order it was measured: case by case, the baseline first. `conditions` are sentences."""

    baseline: str
    seq_len: int
    num_blocks: int
    rows: list[CaseRow]
    holds: list[HoldRow]
    conditions: list[str]

    def of(self, kind: Kind) -> list[CaseRow]:
        return [row for row in self.rows if row.kind == kind]


def timings(detail: Mapping[str, Any]) -> Timings:
    """From the detail of a measurement; a short one has training alone."""
    rows = [_case(row) for row in detail["rows"]]
    training = [row.context for row in rows if row.kind == "train"]
    assert training, "every throughput measurement times a training step"
    kernels = {row["arm"]: row["kernels"] for row in detail["rows"]}
    return Timings(
        baseline=detail["arms"][0]["arm"],
        seq_len=training[0],
        num_blocks=detail["num_blocks"],
        rows=rows,
        holds=[_hold(arm, kernels.get(arm["arm"], "")) for arm in detail["arms"]],
        conditions=_conditions(detail),
    )


def shown(data: Timings, kind: Kind) -> list[CaseRow]:
    """The rows for a table: of decoding only the training length, or the nearest below, and the longest context."""
    rows = data.of(kind)
    if kind != "decode" or not rows:
        return rows
    contexts = sorted({row.context for row in rows})
    within = [context for context in contexts if context <= data.seq_len] or contexts[:1]
    return [row for row in rows if row.context in {within[-1], contexts[-1]}]


def at_training_length(data: Timings) -> list[CaseRow]:
    """The rows of an arm's row of scores: of decoding only the training length, or the nearest below it."""
    decoding = shown(data, "decode")
    context = min((row.context for row in decoding), default=0)
    return [*data.of("train"), *data.of("prefill"), *(row for row in decoding if row.context == context)]


def sentence(rows: Sequence[CaseRow], baseline: str, num_blocks: int) -> str:
    """One case in words: `Training, in tokens a second against gpt2 over 30 blocks: norm=rms -2.1 % [-2.6, -1.7]`."""
    told = [(row, row.against) for row in rows if row.against is not None]
    if not told:
        return ""
    first = rows[0]
    what = CASES[first.kind].capitalize()
    where = "" if first.kind == "train" else f" at batch {first.batch_size} and context {first.context:,}"
    if len(told) <= LISTED:
        said = "; ".join(f"{row.arm} {change(against.percents)}, {against.word}" for row, against in told)
    else:
        words = [against.word for _, against in told]
        said = ", ".join(f"{words.count(word)} {word}" for word in WORDS if word in words)
        said = f"of {count(len(told), 'arm')}, {said}"
    return f"{what}{where}, tokens a second against {baseline} over {count(num_blocks, 'block')}: {said}."


def sentences(data: Timings) -> list[str]:
    """Training, and decoding at each batch size at the training length."""
    cases: dict[tuple[Kind, int, int], list[CaseRow]] = {}
    for row in data.rows:
        cases.setdefault((row.kind, row.batch_size, row.context), []).append(row)
    wanted = [
        rows for (kind, _, n), rows in cases.items() if kind == "train" or (kind == "decode" and n == data.seq_len)
    ]
    return [said for said in (sentence(rows, data.baseline, data.num_blocks) for rows in wanted) if said]


def refusals(rows: Sequence[CaseRow]) -> list[str]:
    """Why rows have no numbers, each reason once: `gpt2 and ffn=moe: position=learned is defined for 128 positions`."""
    arms: dict[str, list[str]] = {}
    for row in rows:
        if row.unavailable and row.arm not in arms.setdefault(row.unavailable, []):
            arms[row.unavailable].append(row.arm)
    few = {why: names if len(names) <= LISTED else [count(len(names), "arm")] for why, names in arms.items()}
    return [f"{listing(names)}: {why}" for why, names in few.items()]


def word_of(ci95: Sequence[float], ci90: Sequence[float]) -> Word:
    """The word for a log-ratio of rates; equivalence is looked for first, as in a verdict."""
    if max(abs(ci90[0]), abs(ci90[1])) < math.log1p(MARGIN):
        return "within 3 %"
    if ci95[0] > 0:
        return "faster"
    return "slower" if ci95[1] < 0 else "inconclusive"


def _case(row: Mapping[str, Any]) -> CaseRow:
    return CaseRow(
        arm=row["arm"],
        kind=row["kind"],
        batch_size=row["batch_size"],
        context=row["context"],
        unavailable=row["unavailable"],
        tokens_per_s=spread(row["tokens_per_s"]),
        milliseconds=spread(row["seconds"], 1e3),
        against=_against(row["against_first"]),
        mfu=row["mfu"],
        bandwidth=row["bandwidth"],
    )


def spread(summary: Mapping[str, Any] | None, scale: float = 1.0) -> Spread | None:
    """The median of a summary with its interval, times `scale`."""
    if summary is None:
        return None
    low, high = summary["ci95"]
    return Spread(scale * summary["median"], (scale * low, scale * high))


def _against(ratio: Mapping[str, Any] | None) -> Against | None:
    if ratio is None:
        return None
    median, low, high = (100 * math.expm1(x) for x in (ratio["median"], *ratio["ci95"]))
    return Against((median, low, high), word_of(ratio["ci95"], ratio["ci90"]))


def _hold(arm: Mapping[str, Any], kernels: str) -> HoldRow:
    memory = arm["peak_memory"]
    return HoldRow(
        arm=arm["arm"],
        peak_bytes=memory["total_bytes"],
        step_bytes=memory["step_bytes"],
        kv_bytes_per_token=arm["kv_bytes_per_token"],
        compile_seconds=arm["compile_seconds"],
        routing=ROUTING[arm["routing"]],
        kernels=kernels,
    )


def _conditions(detail: Mapping[str, Any]) -> list[str]:
    limits = detail["ceilings"]
    threads = count(detail["threads"], "thread")
    ways = list(dict.fromkeys(arm["peak_memory"]["how"] for arm in detail["arms"]))
    return [
        f"{detail['device']}, {detail['dtype']}, {threads}, torch {detail['torch']}; the median of "
        f"{count(detail['num_blocks'], 'block')} a case, the arms' blocks interleaved, and 95 % bootstrap intervals "
        "over blocks, which say nothing of another machine or hour and are not corrected for the number of arms.",
        f"MFU is model FLOP/s over {rate(limits['flops_per_s'], 'FLOP/s')} and bandwidth the bytes that must be read "
        f"over {rate(limits['bytes_per_s'], 'B/s')}, both measured on this device.",
        f"Before and after: {machine_text(detail.get('machine'))}.",
        f"Peak memory is that of a training step ({listing(ways)}).",
        *(["Timings on a CPU say nothing of a GPU."] if ", cpu" in detail["device"] else []),
    ]


def machine_text(states: Sequence[Mapping[str, float | None]] | None) -> str:
    """`load average 0.97 and 0.98, CPU clock 2,600 and 2,600 MHz`, of what the system said."""
    if not states:
        return "neither load nor clocks are known"
    said = []
    for name, words, unit in (
        ("load_average", "load average", ""),
        ("cpu_mhz", "CPU clock", " MHz"),
        ("cpu_celsius", "hottest CPU sensor", " °C"),
        ("gpu_mhz", "GPU clock", " MHz"),
        ("gpu_celsius", "GPU", " °C"),
    ):
        values = [state.get(name) for state in states]
        if any(value is not None for value in values):
            texts = [number(v, 2) if name == "load_average" else rounded(v) for v in values]
            said.append(f"{words} {listing(texts)}{unit}")
    return ", ".join(said) or "neither load nor clocks are known"
