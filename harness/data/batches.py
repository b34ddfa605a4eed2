"""Training batches addressed by (seed, step): no state to save, and a shorter run sees a prefix of a longer one.

An epoch lays windows of seq_len targets end to end over the stream, from a random phase and around
its end, and shuffles them; each target is drawn at most once an epoch, and fewer than seq_len of them,
elsewhere each time, are left over. Step i takes the next sequences_per_step windows of the endless row of epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor

BLOCK_STEPS, BLOCK_TOKENS, BLOCK_TOKENS_OF_GPU = 32, 2**15, 2**22
"""Steps whose batches are drawn at once, fewer where they have more tokens than that. One at a time costs a small step
3 %: the code that draws has left the caches by then (192 us, and 34 where nothing comes between; docs/performance.md).
A GPU has no such caches, and every draw waits for all that it still has to do.
"""


class Order:
    """Where the windows of any step of any length of run begin."""

    def __init__(self, num_tokens: int, seq_len: int, sequences_per_step: int, seed: int) -> None:
        assert num_tokens > seq_len > 0, (num_tokens, seq_len)
        assert sequences_per_step > 0, sequences_per_step
        assert seed >= 0, seed
        self.seq_len = seq_len
        self.sequences_per_step = sequences_per_step
        self.windows_per_epoch = num_tokens // seq_len
        # of a method it would be a cycle, and keep what the run held until the collector comes by
        self._epoch = lru_cache(maxsize=2)(partial(starts_of_epoch, seed, num_tokens, seq_len))

    def starts(self, step: int) -> np.ndarray:
        """(B,) the positions in the stream where the windows of a step begin."""
        assert step >= 0, step
        pieces, first, end = [], step * self.sequences_per_step, (step + 1) * self.sequences_per_step
        while first < end:
            epoch, within = divmod(first, self.windows_per_epoch)
            pieces.append(self._epoch(epoch)[within : within + end - first])
            first += len(pieces[-1])
        return np.concatenate(pieces)


def starts_of_epoch(seed: int, num_tokens: int, seq_len: int, epoch: int) -> np.ndarray:
    """Where the windows of an epoch begin, shuffled: sorted by raw bits, whose stream numpy promises to keep."""
    windows = num_tokens // seq_len
    bits = np.random.Philox(np.random.SeedSequence([seed, epoch])).random_raw(windows + 1)
    phase = int(bits[0]) % num_tokens
    order = np.argsort(bits[1:], kind="stable")
    return (phase + order * seq_len) % num_tokens


class Stream:
    """The tokens of one split on a device, and windows of them."""

    def __init__(self, tokens: np.ndarray, seq_len: int, device: torch.device | str = "cpu") -> None:
        around = np.concatenate([tokens, tokens[:seq_len]])  # the last window goes on at the beginning
        self._tokens = torch.from_numpy(around.astype(np.int32)).to(device)
        self.device = self._tokens.device
        self._within = torch.arange(seq_len + 1, device=device)

    def windows(self, starts: np.ndarray) -> tuple[Tensor, Tensor]:
        """Inputs and targets, int64 (..., T) each for starts (...); targets are the inputs one token later."""
        first = torch.from_numpy(starts).to(self.device)  # only this crosses to the device
        windows = self._tokens[first[..., None] + self._within].long()  # (..., T + 1)
        return windows[..., :-1].contiguous(), windows[..., 1:].contiguous()


class Batches:
    """The batches of one run."""

    def __init__(
        self,
        tokens: np.ndarray,
        seq_len: int,
        sequences_per_step: int,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.order = Order(len(tokens), seq_len, sequences_per_step, seed)
        self.stream = Stream(tokens, seq_len, device)
        self._blocks = Blocks([self.order], self.stream)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of a step, int64 (B, T) each."""
        inputs, targets = self._blocks.batch(step)
        return inputs[0], targets[0]


class Blocks:
    """The batches of several orders of one stream, drawn many steps at a time."""

    def __init__(self, orders: Sequence[Order], stream: Stream) -> None:
        tokens_per_step = len(orders) * orders[0].sequences_per_step * orders[0].seq_len
        most = BLOCK_TOKENS_OF_GPU if stream.device.type == "cuda" else BLOCK_TOKENS
        self.steps = max(1, min(BLOCK_STEPS, most // tokens_per_step))
        # of a method it would be a cycle, and keep what the run held until the collector comes by
        self._block = lru_cache(maxsize=1)(partial(_block, orders, stream, self.steps))

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of a step, int64 (orders, B, T) each."""
        block, place = divmod(step, self.steps)
        inputs, targets = self._block(block)
        return inputs[place], targets[place]


def _block(orders: Sequence[Order], stream: Stream, steps: int, block: int) -> tuple[Tensor, Tensor]:
    """Inputs and targets (steps, orders, B, T) of that many steps."""
    first = block * steps
    starts = [[order.starts(step) for order in orders] for step in range(first, first + steps)]
    return stream.windows(np.array(starts))
