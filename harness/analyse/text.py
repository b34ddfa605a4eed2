"""Numbers and lists as the words of a report. One home, so that a verdict reads alike wherever it is printed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def number(value: float | None, decimals: int = 4) -> str:
    """`1.6536`; `n/a` for what was not measured; a value too large to read with decimals becomes `1.2e+09`."""
    if value is None:
        return "n/a"
    return f"{value:.3g}" if abs(value) >= 1e6 else f"{value:.{decimals}f}"


def signed(value: float | None, decimals: int = 4) -> str:
    """`+0.0029`, and never `-0.0000`."""
    if value is None:
        return "n/a"
    return f"{value:+.3g}" if abs(value) >= 1e6 else f"{value:+z.{decimals}f}"


def interval(ci: tuple[float, float] | None, decimals: int = 4) -> str:
    """`[-0.0008, +0.0066]`."""
    return "no interval" if ci is None else f"[{signed(ci[0], decimals)}, {signed(ci[1], decimals)}]"


def plain(value: float) -> str:
    """A number somebody typed, as they would: `0.01`, `1e+12`."""
    return f"{value:g}"


def p_text(p: float | None) -> str:
    """`0.013`, `< 0.0001`."""
    if p is None:
        return "n/a"
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def p_is(name: str, p: float) -> str:
    """`p = 0.013`, `p < 0.0001`."""
    value = p_text(p)
    return f"{name} {value}" if value.startswith("<") else f"{name} = {value}"


def probability(p: float | None) -> str:
    """`0.988`, and never a certainty that rounding made."""
    if p is None or p in (0, 1):
        return "n/a" if p is None else str(int(p))
    return "< 0.001" if p < 1e-3 else "> 0.999" if p > 0.999 else f"{p:.3f}"


def count(n: int, noun: str) -> str:
    """`1 seed`, `4 seeds`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def listing(items: Iterable[object], last: str = "and") -> str:
    """`1, 3 and 5`; `last` is the word before the last one."""
    words = [str(item) for item in items]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}" if words else "none"


def seeds(numbers: Sequence[int]) -> str:
    """`seed 3`, `seeds 1, 3 and 5`."""
    return f"{'seed' if len(numbers) == 1 else 'seeds'} {listing(numbers)}"


def duration(seconds: float) -> str:
    """`45 s`, `3 min 12 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
