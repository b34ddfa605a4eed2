"""The frequencies of RoPE, and their scaling to longer texts.

s is `factor`, the new length over the old; d the number of dimensions that turn. As in transformers'
`modeling_rope_utils`; NTK-aware scaling is bloc97's (r/LocalLLaMA, 2023), theta' = theta s^(d / (d - 2)), fixed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Scaling = Literal["none", "linear", "ntk", "yarn", "llama3"]


@dataclass(frozen=True)
class Frequencies:
    """The series w_i = theta^(-2i / d), scaled. The fields are the options of position=rope."""

    theta: float
    scaling: Scaling
    factor: float
    original_len: int
    attention_factor: float | None
    beta_fast: float
    beta_slow: float
    low_freq: float
    high_freq: float

    @property
    def magnitude(self) -> float:
        """What cos and sin are multiplied by: under yarn 0.1 ln s + 1, else 1."""
        if self.scaling != "yarn":
            return 1.0
        return 0.1 * math.log(self.factor) + 1.0 if self.attention_factor is None else self.attention_factor

    def series(self, size: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "pairs"]:
        """One frequency for each of the size/2 pairs, in radians a position."""
        exponents = torch.arange(0, size, 2, dtype=dtype, device=device) / size
        if self.scaling == "ntk":  # of a single pair the frequency is 1 whatever the base
            return (self.theta * self.factor ** (size / max(size - 2, 1))) ** -exponents
        frequencies = self.theta**-exponents
        if self.scaling == "linear":
            return frequencies / self.factor
        if self.scaling == "yarn":
            return self._yarn(frequencies, size)
        if self.scaling == "llama3":
            return self._llama3(frequencies)
        return frequencies

    def _yarn(self, frequencies: Tensor, size: int) -> Tensor:
        """Fast pairs stay, slow pairs are divided by s, with a ramp linear in the index of the pair between."""
        low = max(math.floor(self._pair_of(self.beta_fast, size)), 0)
        high = min(math.ceil(self._pair_of(self.beta_slow, size)), size - 1)
        index = torch.arange(size // 2, dtype=frequencies.dtype, device=frequencies.device)
        ramp = ((index - low) / (high - low or 0.001)).clamp(0, 1)  # 0.001 as in transformers: a step
        return frequencies * (1 - ramp) + frequencies / self.factor * ramp

    def _pair_of(self, turns: float, size: int) -> float:
        """The (fractional) pair that turns this many times within `original_len` positions."""
        return size * math.log(self.original_len / (turns * 2 * math.pi)) / (2 * math.log(self.theta))

    def _llama3(self, frequencies: Tensor) -> Tensor:
        """Waves shorter than original_len / high_freq stay, longer than original_len / low_freq are divided by s."""
        turns = self.original_len * frequencies / (2 * math.pi)  # within original_len
        smooth = ((turns - self.low_freq) / (self.high_freq - self.low_freq)).clamp(0, 1)
        return frequencies / self.factor * (1 - smooth) + frequencies * smooth
