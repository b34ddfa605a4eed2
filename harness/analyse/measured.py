"""Speed and memory as scores of an arm's row, from the measurement `throughput`: quantity by quantity.

Training, prefill and decoding at the training length; the other contexts are in the table of decoding and its figure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.analyse.quantities import Interval
from harness.analyse.throughput import CASES, CaseRow, HoldRow, Spread, Timings, at_training_length


@dataclass(frozen=True)
class Reading:
    """A value with the 95 % interval over blocks, None for a count; `percents` is (median, low, high) of the change
    against the baseline, None where there is nothing to compare.
    """

    value: float
    ci95: Interval | None = None
    percents: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Quantity:
    """`readings` has the arms that have the quantity; `unit` `share` is shown in percent and `B` in larger units."""

    title: str
    unit: str
    direction: str
    readings: dict[str, Reading]


def quantities(data: Timings) -> list[Quantity]:
    """Those that any arm has a number in."""
    cases: dict[str, list[CaseRow]] = {}
    for row in at_training_length(data):
        cases.setdefault(_name(row), []).append(row)
    made = [quantity for name, rows in cases.items() for quantity in _of_case(name, rows)]
    made += [
        _held("peak memory of a training step", "B", data, lambda hold: hold.peak_bytes),
        _held("KV cache a token", "B", data, lambda hold: hold.kv_bytes_per_token),
        _held("compile time", "s", data, lambda hold: hold.compile_seconds),
    ]
    return [quantity for quantity in made if quantity.readings]


def _name(row: CaseRow) -> str:
    return CASES[row.kind] if row.kind == "train" else f"{CASES[row.kind]} at batch {row.batch_size}"


def _of_case(name: str, rows: list[CaseRow]) -> list[Quantity]:
    rates = {row.arm: _rate(row, row.tokens_per_s) for row in rows if row.tokens_per_s is not None}
    made = [Quantity(name, "tokens/s", "higher", rates)]
    if rows[0].kind == "train":
        shares = {row.arm: _mfu(row.mfu, row.tokens_per_s) for row in rows if row.mfu is not None and row.tokens_per_s}
        made.append(Quantity(f"MFU, {name}", "share", "higher", shares))
    if rows[0].kind == "decode":
        taken = {row.arm: Reading(t.median, t.ci95) for row in rows if (t := row.milliseconds) is not None}
        made.append(Quantity(f"latency of a token, {name}", "ms", "lower", taken))
    return made


def _rate(row: CaseRow, rate: Spread) -> Reading:
    return Reading(rate.median, rate.ci95, None if row.against is None else row.against.percents)


def _mfu(share: float, rate: Spread) -> Reading:
    """The utilisation is the rate times a constant, so its interval is the rate's, scaled."""
    scale = share / rate.median
    return Reading(share, (scale * rate.ci95[0], scale * rate.ci95[1]))


def _held(title: str, unit: str, data: Timings, of: Callable[[HoldRow], float | None]) -> Quantity:
    return Quantity(title, unit, "lower", {h.arm: Reading(value) for h in data.holds if (value := of(h)) is not None})
