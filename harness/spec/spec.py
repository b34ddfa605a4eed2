"""An arm: every decision that makes two models differ, frozen and hashable. The defaults here are the only
ones, and they are the baseline, the GPT-2 block (Radford et al. 2019) at the default size.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from variants.registry import SLOTS

Value = int | float | bool | str | None


@dataclass(frozen=True)
class Choice:
    """A variant and the options the user set on it, sorted by name; defaults are left out."""

    variant: str
    options: tuple[tuple[str, Value], ...] = ()

    def with_option(self, name: str, value: Value) -> Choice:
        return Choice(self.variant, tuple(sorted({**dict(self.options), name: value}.items())))


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
    bias: bool = True

    def choice(self, slot: str) -> Choice:
        assert slot in SLOTS, slot
        return getattr(self, slot)

    def replace(self, **changes: Any) -> Spec:
        return dataclasses.replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Plain data: {"norm": {"variant": "layer", "options": {}}, ..., "n_layers": 2, ...}."""
        slots = {s: {"variant": self.choice(s).variant, "options": dict(self.choice(s).options)} for s in SLOTS}
        return {f.name: slots.get(f.name, getattr(self, f.name)) for f in dataclasses.fields(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Spec:
        slots = {s: Choice(data[s]["variant"], tuple(sorted(data[s]["options"].items()))) for s in SLOTS}
        return cls(**{**data, **slots})

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


MODEL_OPTIONS = ("tied_head", "bias")
"""What `model.NAME=VALUE` may set."""


def _text(value: Value) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return str(value)
