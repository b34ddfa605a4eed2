"""Which combinations of changes a study trains, and what each is compared with.

| design        | arms                                                     | each compared with             |
|---------------|----------------------------------------------------------|--------------------------------|
| joint         | all changes at once; commas give several arms, crossed   | the baseline                   |
| add-one       | each change alone                                        | the baseline                   |
| leave-one-out | all changes; all but each                                | the baseline; all changes      |
| path          | the changes switched on one after another                | the arm before                 |
| factorial     | every combination, or a fraction of them                 | the baseline                   |

Several designs may be asked for at once: the arms are those of all, each trained once. Where two compare an arm with
different ones, the first design decides; the tables of contributions need only the arms.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.spec.factors import Factor, apply_levels, parse_factors
from harness.spec.fraction import Fraction, in_words, smallest_confusion
from harness.spec.preset_path import Step, steps_along
from harness.spec.spec import Spec
from harness.spec.tokens import Arm, parse_arms
from variants import registry
from variants.errors import UserError, nearest

KINDS = ("joint", "add-one", "leave-one-out", "path", "factorial")

MOST_ARMS = 256
"""Of a design that multiplies; beyond it, a fraction. Assumption: nobody reads, or waits for, more."""

Levels = tuple[int, ...]


@dataclass(frozen=True)
class DesignChoice:
    """What the flags ask for. `presets` are those of a path, at the study's size, the baseline first."""

    kinds: tuple[str, ...] = ("joint",)
    one_in: int = 1  # of the combinations of a factorial
    presets: tuple[tuple[str, Spec], ...] = ()


@dataclass(frozen=True)
class Cell:
    """A combination that is an arm; `against` is the name of the arm it is compared with."""

    arm: Arm
    levels: Levels  # of the factors; empty in a joint design
    against: str


@dataclass(frozen=True)
class Design:
    """The cells without the baseline, which has every factor at its first level. `factors` are (name, labels)."""

    kinds: tuple[str, ...]
    cells: tuple[Cell, ...]
    factors: tuple[tuple[str, tuple[str, ...]], ...] = ()
    fraction: Fraction | None = None

    def to_json(self, baseline: str) -> dict[str, Any]:
        """What a study's record keeps; nothing of a joint design, whose arms say it all."""
        if not self.factors:
            return {}
        cells = [{"arm": c.arm.name, "levels": list(c.levels), "against": c.against} for c in self.cells]
        return {
            "kinds": list(self.kinds),
            "factors": [{"name": name, "levels": list(levels)} for name, levels in self.factors],
            "cells": [{"arm": baseline, "levels": [0] * len(self.factors), "against": ""}, *cells],
            "generators": [[name, list(word)] for name, word in self.fraction.generators] if self.fraction else [],
            "words": self.words(),
        }

    def words(self) -> list[str]:
        """The design in sentences, with the aliases of a fraction."""
        if not self.factors:
            return []
        named = "; ".join(f"{name}: {' -> '.join(levels)}" for name, levels in self.factors)
        told = [f"design {' and '.join(self.kinds)}, {len(self.cells) + 1} arms with the baseline; {named}"]
        return told + (in_words(self.fraction) if self.fraction else [])


def make_design(choice: DesignChoice, tokens: Sequence[str], baseline_name: str, baseline: Spec) -> Design:
    """The arms that a design makes of the tokens.

    Raises:
        UserError: a token is wrong, or the design does not go with the tokens.
    """
    _check(choice)
    if choice.presets:
        return _along_presets(choice, tokens, baseline_name)
    if not tokens:
        raise UserError("name at least one slot=variant to compare, e.g. norm=rms; --list shows them all")
    if choice.kinds == ("joint",):
        arms = parse_arms(tokens, baseline)
        return Design(choice.kinds, tuple(Cell(arm, (), baseline_name) for arm in arms))
    factors = parse_factors(tokens, baseline)
    fraction = _fraction(factors, choice.one_in)
    pairs: dict[Levels, Levels] = {}
    for kind in choice.kinds:
        for levels, against in _cells(kind, factors, fraction):
            pairs.setdefault(levels, against)
    nothing = (0,) * len(factors)
    pairs.pop(nothing, None)
    specs = {levels: apply_levels(factors, levels, baseline) for levels in pairs}
    names = {nothing: baseline_name} | {levels: arm_name(spec, baseline) for levels, spec in specs.items()}
    return Design(
        choice.kinds,
        tuple(Cell(Arm(names[at], specs[at]), at, names[against]) for at, against in pairs.items()),
        tuple((factor.name, tuple(level.label for level in factor.levels)) for factor in factors),
        fraction,
    )


def arm_name(spec: Spec, baseline: Spec) -> str:
    """`Spec.difference`, and a token for each option that is back at its variant's default."""
    back = []
    for slot in registry.SLOTS:
        mine, theirs = spec.choice(slot), baseline.choice(slot)
        if mine.variant == theirs.variant:
            lost = dict(theirs.options).keys() - dict(mine.options).keys()
            options = registry.options(slot, mine.variant)
            back += [f"{slot}.{option}={options[option].default}" for option in sorted(lost)]
    return " ".join([name for name in (spec.difference(baseline),) if name] + back)


def _check(choice: DesignChoice) -> None:
    for kind in choice.kinds:
        if kind not in KINDS:
            raise UserError(f"--design takes {', '.join(KINDS)}, or some of them, got {kind!r}{nearest(kind, KINDS)}")
    if len(set(choice.kinds)) < len(choice.kinds):
        raise UserError(f"--design names each design once, got {','.join(choice.kinds)}")
    if choice.one_in != 1 and choice.kinds != ("factorial",):
        raise UserError(f"--fraction goes with --design factorial alone, got --design {','.join(choice.kinds)}")


def _fraction(factors: Sequence[Factor], one_in: int) -> Fraction | None:
    if one_in == 1:
        return None
    _two_levels("--fraction", factors)
    return smallest_confusion([factor.name for factor in factors], one_in)


def _cells(kind: str, factors: Sequence[Factor], fraction: Fraction | None) -> Iterator[tuple[Levels, Levels]]:
    """(levels, levels compared with) of a design."""
    k = len(factors)
    nothing, everything = (0,) * k, (1,) * k
    if kind == "joint":
        yield from ((levels, nothing) for levels in _product(factors, first=1))
    elif kind == "factorial":
        runs = _product(factors, first=0) if fraction is None else fraction.runs
        yield from ((levels, nothing) for levels in runs)
    elif kind == "add-one":
        for i, factor in enumerate(factors):
            yield from ((_at(nothing, i, j), nothing) for j in range(1, len(factor.levels)))
    elif kind == "leave-one-out":
        _two_levels("--design leave-one-out", factors)
        yield everything, nothing
        yield from ((_at(everything, i, 0), everything) for i in range(k))
    else:
        _two_levels("--design path", factors)
        for i in range(k):
            yield (1,) * (i + 1) + (0,) * (k - i - 1), (1,) * i + (0,) * (k - i)


def _product(factors: Sequence[Factor], first: int) -> list[Levels]:
    count = 1
    for factor in factors:
        count *= len(factor.levels) - first
    if count > MOST_ARMS:
        raise UserError(f"{count} combinations are more than {MOST_ARMS} arms; name fewer tokens or give --fraction")
    return list(itertools.product(*(range(first, len(factor.levels)) for factor in factors)))


def _at(levels: Levels, place: int, level: int) -> Levels:
    return (*levels[:place], level, *levels[place + 1 :])


def _two_levels(what: str, factors: Sequence[Factor]) -> None:
    for factor in factors:
        if len(factor.levels) > 2:
            several = ",".join(level.label for level in factor.levels[1:])
            raise UserError(f"{what} takes one value a token, got {factor.name}={several}; use --design factorial")
    if len(factors) < 2:
        raise UserError(f"{what} needs at least 2 tokens, got {factors[0].name} alone; name another or leave it out")


def _along_presets(choice: DesignChoice, tokens: Sequence[str], baseline_name: str) -> Design:
    if tokens or choice.kinds != ("path",):
        raise UserError("--path goes from preset to preset and takes no tokens and no other --design; leave them out")
    steps: list[Step] = steps_along(choice.presets)
    names = [baseline_name, *(_name_on_path(step, baseline_name) for step in steps)]
    k = len(steps)
    cells = tuple(
        Cell(Arm(names[i + 1], step.spec), (1,) * (i + 1) + (0,) * (k - i - 1), names[i])
        for i, step in enumerate(steps)
    )
    return Design(choice.kinds, cells, tuple((step.name, (step.before, step.after)) for step in steps))


def _name_on_path(step: Step, baseline_name: str) -> str:
    """`llama`, or `llama position.theta=1000000.0` on the way to the next preset."""
    name, spec = step.since
    tokens = arm_name(step.spec, spec)
    return step.reached or (tokens if name == baseline_name else f"{name} {tokens}")
