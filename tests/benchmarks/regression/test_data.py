"""The data loader, against a copy of the bytes it gives."""

from __future__ import annotations

from itertools import count

import numpy as np

from harness.data.batches import Batches
from tests.benchmarks.regression.conftest import Compare
from tests.benchmarks.regression.reference import copy

TOKENS = np.random.default_rng(0).integers(0, 257, 1_000_000)


def test_batch(compare: Compare) -> None:
    """The next batch of 4 x 128, within an epoch."""
    batches, steps = Batches(TOKENS, 128, 4, seed=0), count()
    nbytes = sum(x.nbytes for x in batches.batch(0))
    compare(lambda: batches.batch(next(steps) % 1900), copy(nbytes))


def test_first_batch(compare: Compare) -> None:
    """A stream of a million tokens taken in, its first epoch shuffled, and a batch of it."""
    compare(lambda: Batches(TOKENS, 128, 4, seed=0).batch(0), copy(TOKENS.nbytes))
