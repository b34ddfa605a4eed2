"""An arm: every decision that makes two models differ, frozen and hashable. The defaults here are the only
ones, and they are the baseline, the GPT-2 block (Radford et al. 2019) at the default size.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from harness.spec.layers import Choice, LayerRule, Value
from variants.registry import SLOTS

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
    n_heads: int = 2
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
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def difference(self, other: Spec) -> str:
        """What this spec says otherwise than `other`, as the tokens that would say it: `norm=rms`."""
        tokens = []
        for slot in SLOTS:
            mine, theirs = self.choice(slot), other.choice(slot)
            if mine.variant != theirs.variant:
                tokens.append(f"{slot}={mine.variant}")
            known = dict(theirs.options) if mine.variant == theirs.variant else {}
            tokens += [f"{slot}.{k}={_text(v)}" for k, v in mine.options if k not in known or known[k] != v]
        for field in MODEL_OPTIONS:
            if getattr(self, field) != getattr(other, field):
                tokens.append(f"model.{field}={_text(getattr(self, field))}")
        return " ".join(tokens)


MODEL_OPTIONS = tuple(
    f.name for f in dataclasses.fields(Spec) if f.name not in (*SLOTS, *SIZE_FIELDS, "layer_rules")
)
"""What `model.NAME=VALUE` may set: every field that is neither a slot, nor a size, nor a rule for layers."""


def _text(value: Value) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return str(value)
