"""Named baselines: the block of a published model, at the study's own size."""

from __future__ import annotations

from harness.spec.spec import Choice, Spec
from variants.errors import UserError, nearest

PRESETS: dict[str, Spec] = {
    # Radford et al. 2019: pre-norm LayerNorm, GELU, learned positions, biases, tied head
    "gpt2": Spec(),
    # Touvron et al. 2023, arXiv:2302.13971: pre-norm RMSNorm, SwiGLU, RoPE, no biases, untied head
    "llama": Spec(
        norm=Choice("rms"), activation=Choice("swiglu"), position=Choice("rope"), tied_head=False, bias=False
    ),
}


def preset(name: str) -> Spec:
    """The spec of a preset. Raises `UserError` when there is none of that name."""
    if name not in PRESETS:
        raise UserError(f"unknown preset {name!r}{nearest(name, PRESETS)}")
    return PRESETS[name]
