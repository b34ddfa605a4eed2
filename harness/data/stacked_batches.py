"""The batches of several runs on one corpus at a time, from one copy of it on the device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from harness.data.batches import Batches


class StackedBatches:
    """Row i of a batch is what `Batches` with `seeds[i]` gives; only where windows begin crosses to the device."""

    def __init__(
        self,
        tokens: np.ndarray,
        seq_len: int,
        sequences_per_step: int,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
    ) -> None:
        self.orders = [Batches(tokens, seq_len, sequences_per_step, seed, device="meta") for seed in seeds]
        around = np.concatenate([tokens, tokens[:seq_len]]).astype(np.int32)
        self._tokens = torch.from_numpy(around).to(device)
        self._within = torch.arange(seq_len + 1, device=device)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of a step, int64 (runs, B, T) each; targets are the inputs one token later."""
        starts = torch.from_numpy(np.stack([order.starts(step) for order in self.orders])).to(self._tokens.device)
        windows = self._tokens[starts[..., None] + self._within].long()  # (runs, B, T + 1)
        return windows[..., :-1].contiguous(), windows[..., 1:].contiguous()
