"""The batches of several runs on one corpus at a time, from one copy of it on the device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from harness.data.batches import Blocks, Order, Stream


class StackedBatches:
    """Row i of a batch is what `Batches` with `seeds[i]` gives."""

    def __init__(
        self,
        tokens: np.ndarray,
        seq_len: int,
        sequences_per_step: int,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
    ) -> None:
        orders = [Order(len(tokens), seq_len, sequences_per_step, seed) for seed in seeds]
        self._blocks = Blocks(orders, Stream(tokens, seq_len, device))

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of a step, int64 (runs, B, T) each."""
        return self._blocks.batch(step)
