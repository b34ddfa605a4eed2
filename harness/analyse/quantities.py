"""Rates, times and sizes as the words of a report; `n/a` for what was not measured, and units that are said."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analyse.text import signed

Interval = tuple[float, float]

BYTES = ("B", "KiB", "MiB", "GiB", "TiB")
"""1,024 of each make one of the next."""

RATES = ("", "k", "M", "G", "T", "P")
"""1,000 of each make one of the next."""


def rounded(value: float | None) -> str:
    """Three digits that count, thousands apart: `0.0123`, `1.23`, `12,300`."""
    if value is None:
        return "n/a"
    value = float(f"{value:.3g}")
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}" if size < 1e12 else f"{value:.2e}"
    return f"{value:.2f}" if 1 <= size < 10 else f"{value:.1f}" if 10 <= size < 100 else f"{value:.3g}"


def rounded_interval(ci: Sequence[float] | None) -> str:
    """`[1.20, 1.31]`."""
    return "no interval" if ci is None else f"[{rounded(ci[0])}, {rounded(ci[1])}]"


def percent(share: float | None, decimals: int = 1) -> str:
    """`12.3 %` of a share of 1; what rounding would make nothing is `< 0.1 %`."""
    if share is None:
        return "n/a"
    if share == 0:
        return "0 %"
    least = 10.0**-decimals
    return f"< {least:g} %" if 0 < 100 * share < least else f"{100 * share:.{decimals}f} %"


def change(percents: tuple[float, float, float] | None) -> str:
    """`-2.1 % [-2.6, -1.7]` of (median, low, high)."""
    if percents is None:
        return "n/a"
    median, low, high = (signed(value, 1) for value in percents)
    return f"{median} % [{low}, {high}]"


def size(num_bytes: float | None) -> str:
    """`12.3 MiB`."""
    return "n/a" if num_bytes is None else _scaled(num_bytes, BYTES, 1024)


def rate(per_second: float | None, unit: str) -> str:
    """`188 GFLOP/s`."""
    return "unknown" if per_second is None else f"{_scaled(per_second, RATES, 1000)}{unit}"


def _scaled(value: float, units: Sequence[str], step: int) -> str:
    power = 0
    while abs(value) >= step and power + 1 < len(units):
        value, power = value / step, power + 1
    return f"{rounded(value)} {units[power]}"
