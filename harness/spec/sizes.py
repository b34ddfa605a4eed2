"""Named sizes. Widths divide by 3 * 2^k, so that a gated FFN of two thirds the width is exact."""

from __future__ import annotations

import re

from harness.spec.spec import Spec
from variants.errors import UserError, nearest

SIZES: dict[str, tuple[int, int]] = {  # name: (n_layers, d_model)
    "nano": (2, 48),  # the default: docs/decisions/0002-default-recipe.md
    "micro": (4, 96),
    "mini": (6, 192),
    "tiny": (6, 384),
    "small": (12, 768),  # GPT-2 124M and GPT-3 Small
    "medium": (24, 1024),  # GPT-2 medium
}


def default_heads(d_model: int) -> int:
    """Heads of about 32 dimensions, 64 from d_model 512 on; the divisor of d_model nearest to that, d_head even."""
    wanted = d_model / (64 if d_model >= 512 else 32)
    divisors = [h for h in range(1, d_model + 1) if d_model % h == 0 and (d_model // h) % 2 == 0]
    return min(divisors or [1], key=lambda h: (abs(h - wanted), -h))


def resize(spec: Spec, size: str | None, *, heads: int | None = None) -> Spec:
    """`spec` at a named size, or at `LAYERSxD_MODEL`; `heads` overrides the rule of `default_heads`.

    Raises:
        UserError: no such size, or heads that do not divide d_model.
    """
    n_layers, d_model = (spec.n_layers, spec.d_model) if size is None else parse_size(size)
    n_heads = heads if heads is not None else (spec.n_heads if size is None else default_heads(d_model))
    if n_heads < 1 or d_model % n_heads:
        raise UserError(f"--heads must divide d_model = {d_model}, got {n_heads}")
    return spec.replace(n_layers=n_layers, d_model=d_model, n_heads=n_heads)


def parse_size(size: str) -> tuple[int, int]:
    """(n_layers, d_model) of `nano` or `4x128`."""
    if size in SIZES:
        return SIZES[size]
    match = re.fullmatch(r"([0-9]{1,6})x([0-9]{1,6})", size)
    if match is None:
        raise UserError(f"--size takes a name or LAYERSxD_MODEL such as 4x128, got {size!r}{nearest(size, SIZES)}")
    n_layers, d_model = int(match[1]), int(match[2])
    if n_layers < 1 or d_model < 2:
        raise UserError(f"--size needs at least 1 layer of d_model 2, got {size!r}")
    return n_layers, d_model
