"""Named sizes, and a preset brought to one. Widths divide by 3 * 2^k, so that a gated FFN of two thirds the width
is exact.

A published model scaled down keeps its shape family: d_ff / d_model, query heads per KV head, experts and how many
are active, the dimensions of a head in proportion, the pattern of layers, the window's share of the text. What only
lengthened its context is dropped (RoPE scaling, and the score scale that belongs to it), because a study trains
from nothing at its own seq_len.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from harness.spec.spec import Choice, LayerRule, Spec, Value
from variants.errors import UserError, nearest

SIZES: dict[str, tuple[int, int]] = {  # name: (n_layers, d_model)
    "nano": (2, 48),  # the default: docs/decisions/0002-default-recipe.md
    "micro": (4, 96),
    "mini": (6, 192),
    "tiny": (6, 384),
    "small": (12, 768),  # GPT-2 124M and GPT-3 Small
    "medium": (24, 1024),  # GPT-2 medium
}

DEFAULT_SIZE = "nano"

WIDTH_MULTIPLE = 4
"""Scaled widths are multiples of it: 16 bytes of fp32, the stride `F.grouped_mm` asks for (facts, torch 2.13)."""


def default_heads(d_model: int) -> int:
    """Heads of about 64 dimensions, as GPT-2's: the divisor of d_model nearest to that, d_head even.

    Measured at 2x48: one head of 48 learns sooner and with less spread over seeds than two of 24
    (docs/decisions/0002-default-recipe.md).
    """
    wanted = d_model / 64
    divisors = [h for h in range(1, d_model + 1) if d_model % h == 0 and (d_model // h) % 2 == 0]
    return min(divisors or [1], key=lambda h: (abs(h - wanted), -h))


def resize(spec: Spec, size: str | None, *, heads: int | None = None, seq_len: int | None = None) -> Spec:
    """`spec` at a named size or at `LAYERSxD_MODEL`, its shape family kept; None is `DEFAULT_SIZE`.

    Args:
        spec: a baseline, often a preset at its published size.
        size: name, or `4x128`; the spec's own size gives back the spec's own heads.
        heads: overrides the rule of `default_heads`.
        seq_len: tokens of a training text; None is the default spec's.

    Raises:
        UserError: no such size, or heads that do not divide d_model.
    """
    n_layers, d_model = parse_size(DEFAULT_SIZE if size is None else size)
    n_heads = heads or (spec.n_heads if d_model == spec.d_model else default_heads(d_model))
    if spec.d_head is None and d_model % n_heads:
        raise UserError(f"--heads must divide d_model = {d_model}, got {n_heads}")
    target = spec.replace(n_layers=n_layers, d_model=d_model, n_heads=n_heads, seq_len=seq_len or Spec().seq_len)
    return target if target == spec else Scaling(spec, target).spec()


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


@dataclass(frozen=True)
class Scaling:
    """From one size to another: `target` is `source` with its n_layers, d_model, n_heads and seq_len replaced."""

    source: Spec
    target: Spec

    def spec(self) -> Spec:
        """The target with everything that has a size scaled."""
        source, target = self.source, self.target
        growth = target.d_model / source.d_model
        return target.replace(
            position=source.position.without(*(k for k, _ in source.position.options if _lengthens(k))),
            attention=self.choice(source.attention),
            d_ff=None if source.d_ff is None else self.width(source.d_ff),
            d_head=None if source.d_head is None else self.head(source.d_head),
            embedding_scale=None if source.embedding_scale is None else source.embedding_scale * growth**0.5,
            layer_rules=tuple(self.rule(rule) for rule in source.layer_rules),
        )

    def choice(self, choice: Choice) -> Choice:
        """An attention choice with the options that are sizes scaled."""
        scales = {
            "n_kv_heads": self.kv_heads,
            "window": self.length,
            "kv_rank": self.width,
            "q_rank": self.width,
            "d_nope": self.head,
            "d_rope": self.head,
            "d_value": self.head,
        }
        options: list[tuple[str, Value]] = []
        for name, value in choice.without("scale").options:
            scaled = scales[name](value) if name in scales and isinstance(value, int) else value
            options.append((name, scaled))
        return Choice(choice.variant, tuple(options))

    def rule(self, rule: LayerRule) -> LayerRule:
        """A rule for a run of layers keeps the run's share of the depth, at least one layer in and one out."""
        choices = tuple((s, self.choice(c) if s == "attention" else c) for s, c in rule.choices)
        d_ff = None if rule.d_ff is None else self.width(rule.d_ff)
        scaled = dataclasses.replace(rule, choices=choices, d_ff=d_ff)
        if rule.stop is None or rule.step != 1:
            return scaled
        depth = self.target.n_layers
        stop = round(rule.stop * depth / self.source.n_layers)
        return dataclasses.replace(scaled, stop=min(max(1, stop), depth - 1))

    def width(self, n: int) -> int:
        """A hidden width, in proportion to d_model."""
        exact = n * self.target.d_model / self.source.d_model
        return max(WIDTH_MULTIPLE, round(exact / WIDTH_MULTIPLE) * WIDTH_MULTIPLE)

    def head(self, n: int) -> int:
        """A dimension of a head, in proportion to d_model / n_heads; even, because rotations pair dimensions."""
        growth = self.target.d_model / self.target.n_heads / (self.source.d_model / self.source.n_heads)
        return max(2, round(n * growth / 2) * 2)

    def kv_heads(self, n: int) -> int:
        """KV heads: the largest divisor of n_heads that is no more than their share."""
        most = max(1, n * self.target.n_heads // self.source.n_heads)
        return max(h for h in range(1, most + 1) if self.target.n_heads % h == 0)

    def length(self, n: int) -> int:
        """A number of tokens, in proportion to seq_len."""
        return max(1, n * self.target.seq_len // self.source.seq_len)


def _lengthens(option: str) -> bool:
    return option not in ("theta", "layout", "partial")
