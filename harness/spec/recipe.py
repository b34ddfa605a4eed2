"""How every arm of a study is trained. One home for the defaults, chosen by measurement in
docs/decisions/0002-default-recipe.md.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """AdamW (Loshchilov and Hutter 2017, arXiv:1711.05101) with warm-up and a decay to the run's own last step."""

    lr: float = 6e-3  # peak learning rate
    tokens_per_step: int = 512
    warmup: float = 0.05  # share of the steps with a rising learning rate
    final_lr: float = 0.0  # learning rate after the last step, as a share of the peak
    weight_decay: float = 0.1  # on matrices and embeddings, not on gains, biases and conv kernels
    beta1: float = 0.9
    beta2: float = 0.95
    clip: float = 1.0  # global gradient norm

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
