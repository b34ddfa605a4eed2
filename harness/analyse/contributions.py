"""What did each change contribute to the whole? Four answers from the same cells of a two-level factorial.

- add-one: baseline with the change, minus baseline;
- leave-one-out: everything, minus everything but the change;
- path: the step that the change makes when changes are switched on in a given order; steps add up to the total;
- Shapley: the mean of that step over all orders (Shapley 1953), the only symmetric share that adds up to the total.

Add-one and leave-one-out differ exactly where changes interact. All four are contrasts of cells, so that each seed has
its own, and Student's interval over seeds is theirs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from harness.analyse.bootstrap import BootstrapInterval, studentised
from harness.analyse.factorial import Cells, Factor
from harness.analyse.statistics import PairedT, paired_t


class Contribution(NamedTuple):
    """In the score's unit. `share` is the Shapley value over the total; it means little where the total is near 0."""

    factor: str
    add_one: PairedT
    leave_one_out: PairedT
    path: PairedT
    shapley: PairedT
    shapley_bootstrap: BootstrapInterval
    share: float | None  # None: the total is 0


class Contributions(NamedTuple):
    total: PairedT  # everything minus baseline; Shapley values and path steps sum to its mean
    path_order: tuple[str, ...]
    parts: tuple[Contribution, ...]


def two_levels(cells: Cells, chosen: Mapping[str, str]) -> Cells:
    """The part of a mixed-level table with each factor at its first level and at the `chosen` one.

    Raises:
        ValueError: a factor has no choice, or its choice is not one of its other levels.
    """
    values = cells.values
    factors = []
    for axis, factor in enumerate(cells.factors):
        if chosen.get(factor.name) not in factor.levels[1:]:
            got = chosen.get(factor.name)
            raise ValueError(f"{factor.name} needs a level out of {list(factor.levels[1:])}, got {got!r}")
        levels = (factor.levels[0], chosen[factor.name])
        values = values.take([0, factor.levels.index(levels[1])], axis=axis)
        factors.append(Factor(factor.name, levels))
    return Cells(tuple(factors), cells.seeds, values)


def contributions(cells: Cells, path: Sequence[str] | None = None, confidence: float = 0.95) -> Contributions:
    """Every factor's contribution in a table of two levels each.

    Args:
        path: the factors in the order in which the path switches them on; the table's order where not given.

    Raises:
        ValueError: a factor has more than two levels, there are fewer than 2 seeds, or the path is not an order of the
            factors.
    """
    names = tuple(factor.name for factor in cells.factors)
    if any(len(factor.levels) != 2 for factor in cells.factors):
        raise ValueError("contributions need factors of two levels; choose them with two_levels")
    order = tuple(path) if path is not None else names
    if sorted(order) != sorted(names):
        raise ValueError(f"a path names every factor once, out of {names}, got {order}")
    total = paired_t((_at(cells, set(names)) - _at(cells, set())).tolist(), confidence)
    parts = tuple(_contribution(cells, name, order, total.mean, confidence) for name in names)
    return Contributions(total, order, parts)


def shapley_by_seed(cells: Cells, name: str) -> np.ndarray:
    """(seeds,) mean step of `name` over all orders: Σ_S |S|! (k-|S|-1)! / k! (v(S + name) - v(S))."""
    others = [factor.name for factor in cells.factors if factor.name != name]
    k = len(cells.factors)
    value = np.zeros(len(cells.seeds))
    for size in range(k):
        weight = math.factorial(size) * math.factorial(k - size - 1) / math.factorial(k)
        for on in itertools.combinations(others, size):
            value += weight * (_at(cells, {*on, name}) - _at(cells, set(on)))
    return value


def _contribution(cells: Cells, name: str, path: tuple[str, ...], total: float, confidence: float) -> Contribution:
    names = {factor.name for factor in cells.factors}
    before = set(path[: path.index(name)])
    shapley = shapley_by_seed(cells, name).tolist()
    return Contribution(
        name,
        paired_t((_at(cells, {name}) - _at(cells, set())).tolist(), confidence),
        paired_t((_at(cells, names) - _at(cells, names - {name})).tolist(), confidence),
        paired_t((_at(cells, before | {name}) - _at(cells, before)).tolist(), confidence),
        paired_t(shapley, confidence),
        studentised(shapley, confidence),
        None if total == 0 else float(np.mean(shapley)) / total,
    )


def _at(cells: Cells, on: set[str]) -> np.ndarray:
    """(seeds,) of the cell where the factors `on` have their second level."""
    return cells.values[tuple(int(factor.name in on) for factor in cells.factors)]
