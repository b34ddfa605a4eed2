"""What of a spec a Hugging Face class cannot express, collected as the tokens that say it."""

from __future__ import annotations

from typing import Any

from harness.spec.spec import Choice, Spec

TRAINING_ONLY = ("balance", "z_loss", "bias_rate")
"""Options that change how a model is trained and not what it computes."""

MODEL_DEFAULTS: dict[str, Any] = {"embedding_scale": None, "logit_softcap": None}
"""Model options that most classes know only at these values."""


class Limits:
    """Obstacles of one spec, found by asking what a class allows. `found` lists them."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.found: list[str] = []

    def add(self, obstacle: str) -> None:
        if obstacle not in self.found:
            self.found.append(obstacle)

    def variant(self, slot: str, *allowed: str, options: tuple[str, ...] = (), choice: Choice | None = None) -> None:
        """The slot's variant must be one of `allowed`, with no option set but `options`."""
        choice = choice or self.spec.choice(slot)
        if choice.variant not in allowed:
            self.add(f"{slot}={choice.variant} (not {' or '.join(allowed)})")
            return
        for name, value in choice.options:
            if name not in options and name not in TRAINING_ONLY:
                self.add(f"{slot}.{name}={value}")

    def option(self, slot: str, name: str, wanted: Any, default: Any = None) -> None:
        """An option must have one value; `default` is what it has when it is not set."""
        value = dict(self.spec.choice(slot).options).get(name, default)
        if value != wanted:
            self.add(f"{slot}.{name}={value} (not {wanted})")

    def uniform(self) -> None:
        """All layers must be alike."""
        if self.spec.layer_rules:
            self.add("layers that differ from one another")

    def model_options(self, **allowed: Any) -> None:
        """Model options must be at their defaults, or at the values given here."""
        for name, wanted in {**MODEL_DEFAULTS, **allowed}.items():
            if getattr(self.spec, name) != wanted:
                self.add(f"model.{name}={getattr(self.spec, name)} (not {wanted})")

    def whole_heads(self) -> None:
        """d_head must be d_model / n_heads."""
        if self.spec.d_head not in (None, self.spec.d_model / self.spec.n_heads):
            self.add(f"model.d_head={self.spec.d_head} (not d_model / n_heads)")


def attention_bias(spec: Spec) -> bool:
    """Whether the projections of attention have biases: its own option, else the model's."""
    own = dict(spec.attention.options).get("bias")
    return spec.bias if own is None else bool(own)
