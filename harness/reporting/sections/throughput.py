"""Speed and memory: tokens a second in training, prefill and decoding, what an arm holds, and decode latency."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analyse import latency, throughput
from harness.analyse.latency import Latency
from harness.analyse.quantities import change, percent, rounded, rounded_interval, size
from harness.analyse.throughput import CaseRow, HoldRow, Kind, Timings
from harness.reporting.figures.latency import latency_plot
from harness.reporting.section import Drawing, Grid, Material, Section

TITLE = "Speed and memory"

GRIDS: dict[Kind, str] = {"train": "Training step", "prefill": "Prefill", "decode": "Decoding"}

CALLS: dict[Kind, str] = {
    "train": "A call is a step: forward, backward and optimizer.",
    "prefill": "A call reads the prompts and computes the logits of every position.",
    "decode": "A call is one more token of each text.",
}


def section(material: Material) -> Section | None:
    """None when nothing was timed."""
    measured = material.measurement("throughput")
    if measured is None:
        return None
    if measured.status == "failed":
        return Section(TITLE, notes=(f"The measurement failed: {measured.reason}.",))
    data = throughput.timings(measured.detail)
    lines = latency.latencies(measured.detail, [arm.name for arm in material.study.arms])
    timed = [_timed(data, kind) for kind in GRIDS if data.of(kind)]
    return Section(
        TITLE,
        notes=(*throughput.sentences(data), *latency.sentences(lines), " ".join(data.conditions)),
        grids=(*timed, _held(data.holds), *_fitted(lines)),
        drawings=_drawn(lines),
    )


def _timed(data: Timings, kind: Kind) -> Grid:
    rows = throughput.shown(data, kind)
    columns = ("arm", "batch", "context", "tokens/s", "95 % interval", f"against {data.baseline}", "in a word")
    columns = (*columns, "ms a call", "MFU", *(("bandwidth",) if kind == "decode" else ()))
    left_out = " Other contexts are in the figure below and in measurements/throughput.json."
    note = CALLS[kind] + (left_out if len(rows) < len(data.of(kind)) else "")
    note += "".join(f" N/A for {said}." for said in throughput.refusals(rows))
    return Grid(columns, [_case(row)[: len(columns)] for row in rows], note, GRIDS[kind])


def _case(row: CaseRow) -> tuple[str, ...]:
    """The cells of a row; the last, bandwidth, bounds decoding alone."""
    rate, taken = row.tokens_per_s, row.milliseconds
    if rate is None or taken is None:
        return (row.arm, str(row.batch_size), f"{row.context:,}", "N/A", *[""] * 6)
    return (
        row.arm,
        str(row.batch_size),
        f"{row.context:,}",
        rounded(rate.median),
        rounded_interval(rate.ci95),
        "" if row.against is None else change(row.against.percents),
        "" if row.against is None else row.against.word,
        rounded(taken.median),
        percent(row.mfu),
        percent(row.bandwidth),
    )


def _held(holds: Sequence[HoldRow]) -> Grid:
    columns = ("arm", "peak memory", "of it a step's", "KV cache a token", "compile time", "routing", "kernels")
    rows = [
        (
            hold.arm,
            size(hold.peak_bytes),
            size(hold.step_bytes),
            "cannot decode" if hold.kv_bytes_per_token is None else size(hold.kv_bytes_per_token),
            "eager" if hold.compile_seconds is None else f"{rounded(hold.compile_seconds)} s",
            hold.routing,
            hold.kernels.replace("; ", "\n"),
        )
        for hold in holds
    ]
    return Grid(columns, rows, "A statement about speed is one about the kernels named here.", "Memory and kernels")


def _fitted(lines: Sequence[Latency]) -> tuple[Grid, ...]:
    if not any(one.line is not None for one in lines):
        return ()
    columns = ("arm", "batch", "a, ms", "95 % interval", "b, ms per 1,000 tokens", "95 % interval of b")
    rows = [
        (
            one.arm,
            str(one.batch_size),
            rounded(one.line.a),
            rounded_interval(one.line.a_ci95),
            rounded(1e3 * one.line.b),
            rounded_interval([1e3 * end for end in one.line.b_ci95]),
            "none known" if one.line.equal_at is None else rounded(one.line.equal_at),
            percent(one.line.residual),
        )
        for one in lines
        if one.line is not None
    ]
    note = (
        "a + b t milliseconds a token, t the context; b t = a is where the context costs as much as the weights. With "
        "a cache a token costs the same at any context only where b is zero."
    )
    return (Grid((*columns, "b t = a at, tokens", "largest miss"), rows, note, "Decode latency, a + b t"),)


def _drawn(lines: Sequence[Latency]) -> tuple[Drawing, ...]:
    if not lines:
        return ()
    alt = "Milliseconds a decoded token against context, points and a line an arm; the numbers are in the table above"
    caption = "Points: medians with 95 % intervals. Lines: a + b t. The baseline is in the colour of the text."
    return (Drawing("latency", latency_plot(lines), alt, caption),)
