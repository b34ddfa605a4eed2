"""Tokens as the factors of a design: each is switched on and off by itself. Its first level is the baseline's.

A slot's options belong to its variant: `ffn=moe ffn.num_experts=8` is one factor. An option alone, of the variant that
the baseline has, is a factor of its own. Commas give a factor more levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.spec.spec import Choice, Spec
from harness.spec.tokens import Change, parse_changes
from variants import registry
from variants.errors import UserError


@dataclass(frozen=True)
class Level:
    """A value of a factor as a reader knows it, and what it does to a spec."""

    label: str
    change: Change


@dataclass(frozen=True)
class Factor:
    """`name` is the slot, or slot.option; `levels[0]` is the baseline's and changes nothing."""

    name: str
    levels: tuple[Level, ...]


def parse_factors(tokens: Sequence[str], baseline: Spec) -> tuple[Factor, ...]:
    """The factors that `tokens` name, in order.

    Raises:
        UserError: as `parse_arms`; or a token that changes nothing.
    """
    whole = {token.partition("=")[0] for token in tokens} & set(registry.SLOTS)
    groups: dict[str, list[str]] = {}
    for token in tokens:
        path = token.partition("=")[0]
        slot = path.partition(".")[0]
        groups.setdefault(slot if slot in whole else path, []).append(token)
    return tuple(_factor(name, group, baseline) for name, group in groups.items())


def apply_levels(factors: Sequence[Factor], levels: Sequence[int], baseline: Spec) -> Spec:
    """The baseline with each factor at a level."""
    spec = baseline
    for factor, level in zip(factors, levels, strict=True):
        spec = factor.levels[level].change.apply(spec)
    return spec


def _factor(name: str, tokens: Sequence[str], baseline: Spec) -> Factor:
    made: dict[Spec, Change] = {}
    for change in parse_changes(tokens, baseline):
        made.setdefault(change.apply(baseline), change)
    levels = [Level(_label(name, spec), change) for spec, change in made.items() if spec != baseline]
    if not levels:
        raise UserError(
            f"{' '.join(tokens)} changes nothing against the baseline; leave it out or name another variant"
        )
    return Factor(name, (Level(_label(name, baseline), Change()), *levels))


def _label(name: str, spec: Spec) -> str:
    """What a spec has there: `moe num_experts=8` of a slot, a value of an option."""
    slot, dot, option = name.partition(".")
    if slot == "model":
        return _text(getattr(spec, option))
    choice = spec.choice(slot)
    if dot:
        own = dict(choice.options)
        return _text(own[option] if option in own else registry.options(slot, choice.variant)[option].default)
    return choice_label(choice)


def choice_label(choice: Choice) -> str:
    """`moe num_experts=8`."""
    return " ".join([choice.variant, *(f"{name}={_text(value)}" for name, value in choice.options)])


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
