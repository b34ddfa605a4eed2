"""What moved between a baseline and a run, as rows and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SHOWN = 0.10
"""Change from which a benchmark is listed: beyond most of what an unchanged tree shows (docs/benchmarks.md)."""


@dataclass(frozen=True)
class Moved:
    """`change` is (now - before) / before: positive is slower."""

    name: str
    before: float
    now: float

    @property
    def change(self) -> float:
        return self.now / self.before - 1


@dataclass(frozen=True)
class Comparison:
    """`moved` has those beyond `SHOWN`, the slowest first; `new` have no baseline, `missing` were not run."""

    num_compared: int
    moved: tuple[Moved, ...]
    new: tuple[str, ...]
    missing: tuple[str, ...]


def compare_runs(before: Mapping[str, float], now: Mapping[str, float]) -> Comparison:
    both = [Moved(name, before[name], now[name]) for name in now if name in before]
    moved = sorted((row for row in both if abs(row.change) > SHOWN), key=lambda row: -row.change)
    new = tuple(name for name in now if name not in before)
    return Comparison(len(both), tuple(moved), new, tuple(name for name in before if name not in now))


def table(comparison: Comparison, limit: float) -> list[str]:
    """Lines of text. `limit` is the change that is a regression."""
    lines = [f"{comparison.num_compared} ratios compared, {len(comparison.moved)} moved by more than {SHOWN:.0%}"]
    width = max((len(short(row.name)) for row in comparison.moved), default=0)
    for row in comparison.moved:
        said = "REGRESSION" if row.change > limit else "slower" if row.change > 0 else "faster"
        lines.append(f"  {short(row.name):<{width}}  {row.before:10.4g} -> {row.now:10.4g}  {row.change:+7.1%}  {said}")
    for title, names in (("new, without a baseline", comparison.new), ("not run", comparison.missing)):
        if names:
            first = ", ".join(short(name) for name in names[:8])
            lines.append(f"  {title}: {len(names)}: {first}{', ...' * (len(names) > 8)}")
    return lines


def short(name: str) -> str:
    """`test_variants.py::test_forward[norm-rms]` -> `forward[norm-rms]`."""
    return name.rpartition("::")[2].removeprefix("test_")
