"""An arm: every decision that makes two models differ, frozen and hashable. The defaults here are the only
ones, and they are the baseline, the GPT-2 block (Radford et al. 2019) at the default size.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from harness.spec.digest import json_sha256
from variants.registry import SLOTS

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


SIZE_FIELDS = ("n_layers", "d_model", "n_heads", "d_ff", "seq_len", "vocab_size")
"""Fields that --size, --heads, --seq-len, the matcher and the tokenizer decide."""


@dataclass(frozen=True)
class Spec:
    """One arm: a choice a slot, the sizes, and the model options.

    `d_ff` is the hidden width of the FFN, or of one expert; None means four times d_model until
    the matcher solves it. `vocab_size` is set by the tokenizer.
    """

    norm: Choice = Choice("layer")
    activation: Choice = Choice("gelu")
    position: Choice = Choice("learned")
    ffn: Choice = Choice("dense")
    attention: Choice = Choice("mha")
    residual: Choice = Choice("pre")
    n_layers: int = 2
    d_model: int = 48
    n_heads: int = 1
    d_ff: int | None = None
    seq_len: int = 128
    vocab_size: int = 257
    tied_head: bool = True
    bias: bool = True  # in every linear layer of the blocks; a variant's own option goes before it
    d_head: int | None = None  # dimensions of a head; None is d_model / n_heads
    embedding_scale: float | None = None  # the embedded tokens are multiplied by it; Gemma sqrt(d_model)
    logit_softcap: float | None = None  # logits become cap * tanh(logits / cap); Gemma 2
    layer_rules: tuple[LayerRule, ...] = ()  # the layers that differ from the choices above

    def choice(self, slot: str) -> Choice:
        assert slot in SLOTS, slot
        return getattr(self, slot)

    def layer(self, index: int) -> Spec:
        """What layer `index` is built from: this spec with the rules that name the layer applied, in order."""
        changes: dict[str, Any] = {}
        for rule in self.layer_rules:
            if rule.covers(index):
                changes |= dict(rule.choices)
                changes |= {} if rule.d_ff is None else {"d_ff": rule.d_ff}
        return self.replace(layer_rules=(), **changes) if self.layer_rules else self

    def layer_counts(self) -> dict[Spec, int]:
        """The different layers and how many there are of each; the counts sum to n_layers."""
        counts: dict[Spec, int] = {}
        for index in range(self.n_layers):
            layer = self.layer(index)
            counts[layer] = counts.get(layer, 0) + 1
        return counts

    def variants(self) -> tuple[tuple[str, str], ...]:
        """Every (slot, variant) that the model uses, those of the layer rules included."""
        rules = ((slot, c.variant) for rule in self.layer_rules for slot, c in rule.choices)
        return tuple(dict.fromkeys([*((s, self.choice(s).variant) for s in SLOTS), *rules]))

    def replace(self, **changes: Any) -> Spec:
        return dataclasses.replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Plain data: {"norm": {"variant": "layer", "options": {}}, ..., "n_layers": 2, ..., "layer_rules": []}."""
        slots: dict[str, Any] = {s: self.choice(s).to_json() for s in SLOTS}
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return plain | slots | {"layer_rules": [rule.to_json() for rule in self.layer_rules]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Spec:
        slots = {s: Choice.from_json(data[s]) for s in SLOTS}
        rules = tuple(LayerRule.from_json(rule) for rule in data.get("layer_rules", ()))
        return cls(**{**data, **slots, "layer_rules": rules})

    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return json_sha256(self.to_json())

    def difference(self, other: Spec) -> str:
        """What this spec says otherwise than `other`, as the tokens that would say it: `norm=rms`."""
        tokens = [token for s in SLOTS for token in _choice_tokens(s, self.choice(s), other.choice(s))]
        for mine, theirs in zip(self.layer_rules, other.layer_rules, strict=False):
            known = dict(theirs.choices)
            tokens += [t for slot, c in mine.choices if slot in known for t in _choice_tokens(slot, c, known[slot])]
        for field in MODEL_OPTIONS:
            if getattr(self, field) != getattr(other, field):
                tokens.append(f"model.{field}={_text(getattr(self, field))}")
        return " ".join(dict.fromkeys(tokens))


MODEL_OPTIONS = tuple(f.name for f in dataclasses.fields(Spec) if f.name not in (*SLOTS, *SIZE_FIELDS, "layer_rules"))
"""What `model.NAME=VALUE` may set: every field that is neither a slot, nor a size, nor a rule for layers."""


def _choice_tokens(slot: str, mine: Choice, theirs: Choice) -> list[str]:
    """The tokens that turn `theirs` into `mine`; an option back at its default has none."""
    same = mine.variant == theirs.variant
    known = dict(theirs.options) if same else {}
    options = [f"{slot}.{k}={_text(v)}" for k, v in mine.options if k not in known or known[k] != v]
    return options if same else [f"{slot}={mine.variant}", *options]


def _text(value: Value) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return str(value)
