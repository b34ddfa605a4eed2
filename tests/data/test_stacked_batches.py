"""Batches of several seeds from one copy of the text."""

from __future__ import annotations

import numpy as np
import torch

from harness.data.batches import Batches
from harness.data.stacked_batches import StackedBatches


def test_each_row_is_the_batch_of_its_seed() -> None:
    tokens = np.random.default_rng(0).integers(0, 50, 997).astype(np.uint16)
    stacked = StackedBatches(tokens, 8, 4, (3, 0, 7))
    for step in (0, 1, 40):  # 124 windows an epoch: the last is in the second
        inputs, targets = stacked.batch(step)
        assert inputs.is_contiguous()
        assert targets.is_contiguous()
        for row, seed in enumerate((3, 0, 7)):
            expected = Batches(tokens, 8, 4, seed).batch(step)
            assert torch.equal(inputs[row], expected[0])
            assert torch.equal(targets[row], expected[1])
