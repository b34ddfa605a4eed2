"""`slot=variant` and `slot.option=value` tokens -> arms.

Several tokens make one joint arm; commas make several arms and are crossed when several tokens have them.
Everything is checked here, before anything is trained.

Where a baseline's layers differ (`Spec.layer_rules`), `slot=variant` changes the layers that follow the spec's
own choice and leaves the ruled ones, so `ffn=mixtral` on deepseek-v3 keeps its first layers dense; an option is
set wherever the slot's variant has it, in the ruled layers too.
"""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import types
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from harness.spec.spec import MODEL_OPTIONS, Choice, Spec, Value
from variants import registry
from variants.errors import UserError, nearest


@dataclass(frozen=True)
class Arm:
    """A named spec, not yet matched."""

    name: str
    spec: Spec


def parse_arms(tokens: Iterable[str], baseline: Spec) -> list[Arm]:
    """The arms that `tokens` name as changes to `baseline`, in order, without the baseline itself.

    Raises:
        UserError: a token that is no `slot=variant`, an unknown slot, variant or option, a value of the wrong type.
    """
    return _named((change.apply(baseline) for change in parse_changes(tokens, baseline)), baseline)


@dataclass(frozen=True)
class Change:
    """Tokens of one value each: what turns one spec into another."""

    variants: tuple[tuple[str, str], ...] = ()  # (slot, variant)
    options: tuple[tuple[tuple[str, str], str], ...] = ()  # ((slot, option), value as text)

    def apply(self, spec: Spec) -> Spec:
        """`spec` with the change made; an option that the chosen variant does not have is left out."""
        return _set(_choose(spec, dict(self.variants)), dict(self.options))


def parse_changes(tokens: Iterable[str], baseline: Spec) -> list[Change]:
    """Every combination of the tokens' values, in order; the baseline's own values among them. Raises as `parse_arms`
    does.
    """
    variants: dict[str, list[str]] = {}
    settings: dict[tuple[str, str], list[str]] = {}
    for token in tokens:
        path, equals, text = token.partition("=")
        values = text.split(",")
        if not equals or not path or not all(values):
            raise UserError(f"a token is slot=variant or slot.option=value, got {token!r}; for example norm=rms")
        slot, dot, option = path.partition(".")
        _add(settings, (slot, option), values, token) if dot else _add(variants, slot, values, token)
    for slot, names in variants.items():
        variants[slot] = [registry.canonical(slot, name) for name in names]  # raises for an unknown slot or variant
    choices = _cross(variants)
    _check_settings(settings, [_choose(baseline, choice) for choice in choices])
    return [Change(tuple(v.items()), tuple(o.items())) for v in choices for o in _cross(settings)]


def _add(table: dict[Any, list[str]], key: Any, values: list[str], token: str) -> None:
    if key in table:
        raise UserError(f"{token!r} names {token.partition('=')[0]} a second time; join the values with a comma")
    table[key] = values


def _cross(table: dict[Any, list[str]]) -> list[dict[Any, str]]:
    return [dict(zip(table, values, strict=True)) for values in itertools.product(*table.values())]


def _choose(spec: Spec, choice: dict[str, str]) -> Spec:
    # naming the variant the baseline already has keeps the baseline's options
    changes = {s: Choice(v) for s, v in choice.items() if spec.choice(s).variant != v}
    return spec.replace(**changes)


def _check_settings(settings: dict[tuple[str, str], list[str]], specs: list[Spec]) -> None:
    for slot, option in settings:
        if slot == "model":
            if option not in MODEL_OPTIONS:
                raise UserError(f"unknown model option {option!r}{nearest(option, MODEL_OPTIONS)}")
            continue
        if slot not in registry.SLOTS:
            raise UserError(f"unknown slot {slot!r}{nearest(slot, (*registry.SLOTS, 'model'))}")
        chosen = {variant for spec in specs for s, variant in spec.variants() if s == slot}
        known = {name for variant in chosen for name in registry.options(slot, variant)}
        if option not in known:
            raise UserError(f"{slot}={','.join(sorted(chosen))} has no option {option!r}{nearest(option, known)}")


def _set(spec: Spec, choice: dict[tuple[str, str], str]) -> Spec:
    for (slot, option), text in choice.items():
        if slot == "model":
            kind = get_type_hints(Spec)[option]
            spec = spec.replace(**{option: parse_value(text, kind, f"model.{option}")})
            continue
        changed: dict[str, Any] = {slot: _with(spec.choice(slot), slot, option, text)}
        if spec.layer_rules:
            changed["layer_rules"] = tuple(
                dataclasses.replace(
                    rule,
                    choices=tuple((s, _with(c, s, option, text) if s == slot else c) for s, c in rule.choices),
                )
                for rule in spec.layer_rules
            )
        spec = spec.replace(**changed)
    return spec


def _with(choice: Choice, slot: str, option: str, text: str) -> Choice:
    """`choice` with an option set; unchanged where its variant has none of that name, for another arm may."""
    parameter = registry.options(slot, choice.variant).get(option)
    if parameter is None:
        return choice
    value = parse_value(text, parameter.annotation, f"{slot}.{option}")
    return choice.without(option) if value == parameter.default else choice.with_option(option, value)


def _named(specs: Iterable[Spec], baseline: Spec) -> list[Arm]:
    unique = dict.fromkeys(spec for spec in specs if spec != baseline)
    return [Arm(spec.difference(baseline), spec) for spec in unique]


def parse_value(text: str, annotation: Any, name: str) -> Value:
    """`text` as the annotated type: int, float, bool, str, a Literal, or one of those or None.

    Raises:
        UserError: the text is not of that type.
    """
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        kinds = [a for a in get_args(annotation) if a is not type(None)]
        return None if text.lower() == "none" else parse_value(text, kinds[0], name)
    if origin is Literal:
        allowed = {str(a): a for a in get_args(annotation)}
        if text not in allowed:
            raise UserError(f"{name} takes one of {', '.join(allowed)}, got {text!r}")
        return allowed[text]
    if annotation is bool:
        words = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}
        if text.lower() not in words:
            raise UserError(f"{name} takes true or false, got {text!r}")
        return words[text.lower()]
    if annotation in (str, inspect.Parameter.empty):
        return text
    assert annotation in (int, float), f"{name}: annotate options with int, float, bool, str or Literal"
    try:
        return annotation(text)
    except ValueError:
        raise UserError(f"{name} takes {'an integer' if annotation is int else 'a number'}, got {text!r}") from None
