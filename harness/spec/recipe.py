"""How every arm of a study is trained. One home for the defaults, chosen by measurement in
docs/decisions/0002-default-recipe.md.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

Schedule = Literal["cosine", "wsd"]

OF_WSD = ("schedule", "decay", "warmup_steps")
"""What a recipe with a cosine has no use for, and does not write down."""


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
    schedule: Schedule = "cosine"  # wsd: warm-up, a stable peak, a decay; harness/train/schedule.py has the formulas
    decay: float = 0.2  # of wsd: share of the steps, the last ones; Haegele et al. 2024 (arXiv:2405.18392), section 4
    warmup_steps: int | None = None  # of wsd, instead of the share: runs of several lengths that share a trunk

    def to_json(self) -> dict[str, Any]:
        left_out = OF_WSD if self.schedule == "cosine" else ()
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in left_out}

    def warmup_of(self, num_steps: int) -> int:
        """Steps with a rising learning rate in a run of `num_steps`."""
        return max(1, round(self.warmup * num_steps)) if self.warmup_steps is None else self.warmup_steps

    def branch_step(self, num_steps: int) -> int:
        """The first step of the decay of a wsd run of `num_steps`: up to it, it is the trunk of every longer one."""
        return num_steps - round(self.decay * num_steps)

    @property
    def trunk(self) -> Recipe:
        """The same without a decay."""
        return dataclasses.replace(self, decay=0.0)
