"""What a search may vary: variants from tokens with commas, and ranges from `--space lr=1e-4:1e-2:log`.

A range is of the recipe (`lr`, `warmup`, `weight_decay`, ...), of a variant's option (`ffn.num_experts=4:16`) or of
the model (`model.d_head=16:64`). An option that the chosen variant does not have is left out of that trial.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_type_hints

from harness.spec.recipe import OF_WSD, Recipe
from harness.spec.spec import MODEL_OPTIONS, Spec
from variants import registry
from variants.errors import UserError, nearest

RECIPE = {name: kind for name, kind in get_type_hints(Recipe).items() if kind is float and name not in OF_WSD}
"""Fields of the recipe that may be searched, with their types; what a wsd schedule alone has is not among them."""


@dataclass(frozen=True)
class Choices:
    """A token with its values: `norm` of layer, rms."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Range:
    """low <= value <= high, whole numbers for `int`; `log`: uniform in the logarithm."""

    name: str
    kind: Literal["int", "float"]
    low: float
    high: float
    log: bool


Dimension = Choices | Range


def parse_choices(tokens: Iterable[str]) -> list[Choices]:
    """`norm=layer,rms` -> what a trial chooses from; one value is no choice, and holds for every trial.

    Raises:
        UserError: a token that is no `name=value,...`, or a name twice.
    """
    found: dict[str, Choices] = {}
    for token in tokens:
        name, equals, text = token.partition("=")
        values = tuple(dict.fromkeys(text.split(",")))
        if not equals or not name or not all(values):
            raise UserError(f"a token is slot=variant,variant or slot.option=value, got {token!r}; e.g. norm=layer,rms")
        if name in found:
            raise UserError(f"{token!r} names {name} a second time; join the values with a comma")
        found[name] = Choices(name, values)
    return list(found.values())


def parse_space(text: str, baseline: Spec, choices: Sequence[Choices]) -> list[Range]:
    """`lr=1e-4:1e-2:log,ffn.num_experts=4:16` -> ranges.

    Args:
        choices: what the tokens vary: an option must belong to a variant that they or the baseline can choose.

    Raises:
        UserError: a range that is not low:high or low:high:log, an unknown name (the nearest is told), numbers of the
            wrong kind, without end, or low above high.
    """
    ranges: dict[str, Range] = {}
    for part in (part.strip() for part in text.split(",") if part.strip()):
        name, equals, limits = part.partition("=")
        pieces = limits.split(":")
        if not equals or len(pieces) not in (2, 3) or pieces[2:] not in ([], ["log"]):
            raise UserError(f"--space takes name=low:high or name=low:high:log, got {part!r}; e.g. lr=1e-4:1e-2:log")
        if name in ranges or name in {choice.name for choice in choices}:
            raise UserError(f"--space varies {name} a second time; give it one range")
        ranges[name] = _range(name, _kind(name, baseline, choices), pieces)
    return list(ranges.values())


def _range(name: str, kind: type, pieces: Sequence[str]) -> Range:
    try:
        low, high = kind(pieces[0]), kind(pieces[1])
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise UserError(f"--space {name} takes {what}, got {pieces[0]}:{pieces[1]}") from None
    log = len(pieces) == 3
    if math.isinf(low) or math.isinf(high):
        raise UserError(f"--space {name} needs two finite ends, got {pieces[0]}:{pieces[1]}")
    if not low < high:
        raise UserError(f"--space {name} needs low below high, got {pieces[0]}:{pieces[1]}; turn them round")
    if log and low <= 0:
        raise UserError(f"--space {name} is logarithmic, so it must begin above 0, got {pieces[0]}")
    return Range(name, "int" if kind is int else "float", low, high, log)


def _kind(name: str, baseline: Spec, choices: Sequence[Choices]) -> type:
    """int or float, what the named setting is."""
    slot, dot, option = name.partition(".")
    if not dot:
        if name not in RECIPE:
            known = (*RECIPE, *(f"{slot}.option" for slot in registry.SLOTS))
            raise UserError(f"--space: unknown name {name!r}{nearest(name, RECIPE)}; it takes {', '.join(known)}")
        return RECIPE[name]
    if slot == "model":
        if option not in MODEL_OPTIONS:
            raise UserError(f"--space: unknown model option {option!r}{nearest(option, MODEL_OPTIONS)}")
        annotation = get_type_hints(Spec)[option]
    else:
        if slot not in registry.SLOTS:
            raise UserError(f"--space: unknown slot {slot!r}{nearest(slot, (*registry.SLOTS, 'model'))}")
        annotation = _annotation(slot, option, baseline, choices)
    for kind in (int, float):
        if annotation is kind or kind in getattr(annotation, "__args__", ()):
            return kind
    raise UserError(f"--space: {name} is no number, so it has no range; vary it as a token, {name}=value,value")


def _annotation(slot: str, option: str, baseline: Spec, choices: Sequence[Choices]) -> object:
    named = [variant for choice in choices if choice.name == slot for variant in choice.values]
    variants = [registry.canonical(slot, variant) for variant in named] or [baseline.choice(slot).variant]
    found = [registry.options(slot, variant).get(option) for variant in variants]
    parameters = [parameter for parameter in found if parameter is not None]
    if not parameters:
        known = {name for variant in variants for name in registry.options(slot, variant)}
        raise UserError(f"--space: {slot}={','.join(variants)} has no option {option!r}{nearest(option, known)}")
    return parameters[0].annotation
