"""The activations of the two sides by name."""

from __future__ import annotations

from typing import Any

from harness.spec.spec import Choice, choose
from variants.errors import UserError

PLAIN = {"gelu": "gelu", "gelu_tanh": "gelu_new", "relu": "relu", "silu": "silu", "relu2": "relu2"}
"""Ours -> theirs, for an ffn without a gate."""

PLAIN_ALIASES = {"gelu_pytorch_tanh": "gelu_tanh", "gelu_fast": "gelu_tanh", "swish": "silu"}

GATED = {"swiglu": "silu", "geglu": "gelu", "reglu": "relu", "glu": "sigmoid", "bilinear": "linear"}
"""Ours -> their activation of the gate branch."""

TANH = "gelu_pytorch_tanh"


def plain(choice: Choice) -> str:
    return PLAIN[choice.variant]


def gate(choice: Choice) -> str:
    return TANH if dict(choice.options).get("approximate") == "tanh" else GATED[choice.variant]


def plain_choice(config: dict[str, Any], key: str) -> Choice:
    """Raises `UserError` for an activation that has no equal here."""
    names = {theirs: ours for ours, theirs in PLAIN.items()} | PLAIN_ALIASES
    return Choice(_known(names, config[key]))


def gate_choice(config: dict[str, Any], key: str) -> Choice:
    """Raises `UserError` for an activation that has no equal here."""
    if config[key] in (TANH, "gelu_new"):
        return choose("geglu", approximate="tanh")
    return Choice(_known({theirs: ours for ours, theirs in GATED.items()} | {"swish": "swiglu"}, config[key]))


def _known(names: dict[str, str], theirs: str) -> str:
    if theirs not in names:
        raise UserError(f"activation {theirs!r} has no equal here; known are {', '.join(sorted(names))}")
    return names[theirs]
