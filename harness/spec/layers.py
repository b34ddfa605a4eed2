"""A choice of a variant, and rules that give some layers other choices than the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Value = int | float | bool | str | None


@dataclass(frozen=True)
class Choice:
    """A variant and the options the user set on it, sorted by name; defaults are left out."""

    variant: str
    options: tuple[tuple[str, Value], ...] = ()

    def with_option(self, name: str, value: Value) -> Choice:
        return Choice(self.variant, tuple(sorted({**dict(self.options), name: value}.items())))

    def without(self, *names: str) -> Choice:
        """This choice with some options back at their defaults."""
        return Choice(self.variant, tuple((k, v) for k, v in self.options if k not in names))

    def to_json(self) -> dict[str, Any]:
        return {"variant": self.variant, "options": dict(self.options)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Choice:
        return cls(data["variant"], tuple(sorted(data["options"].items())))


def choose(variant: str, **options: Value) -> Choice:
    """`Choice("gqa", (("n_kv_heads", 8),))`, written as it is read."""
    return Choice(variant, tuple(sorted(options.items())))


@dataclass(frozen=True)
class LayerRule:
    """Layers start, start + step, ... below `stop` (None: to the last) take other choices and another d_ff.

    The first three layers dense in a stack of experts (DeepSeek-V3): `LayerRule(stop=3, choices=..., d_ff=18432)`;
    every second layer (GLaM): `LayerRule(step=2, choices=...)`. `d_ff` is a width of its own that the matcher
    leaves alone, so that these layers are the same in all arms; None follows the spec's d_ff.
    docs/decisions/0401-layers-that-differ.md says why.
    """

    start: int = 0
    stop: int | None = None
    step: int = 1
    choices: tuple[tuple[str, Choice], ...] = ()
    d_ff: int | None = None

    def covers(self, index: int) -> bool:
        beyond = self.stop is not None and index >= self.stop
        return index >= self.start and not beyond and (index - self.start) % self.step == 0

    def to_json(self) -> dict[str, Any]:
        choices = {slot: choice.to_json() for slot, choice in self.choices}
        return {"start": self.start, "stop": self.stop, "step": self.step, "choices": choices, "d_ff": self.d_ff}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LayerRule:
        choices = {slot: Choice.from_json(choice) for slot, choice in data["choices"].items()}
        return cls(**{**data, "choices": tuple(sorted(choices.items()))})


def layer_rule(
    start: int = 0, stop: int | None = None, step: int = 1, d_ff: int | None = None, **choices: Choice
) -> LayerRule:
    """A `LayerRule` with its choices written as slot=Choice."""
    return LayerRule(start, stop, step, tuple(sorted(choices.items())), d_ff)
