from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.data.batches import Batches

SIZES = {
    "num_tokens": st.integers(2, 60),
    "seq_len": st.integers(1, 20),
    "sequences": st.integers(1, 9),
    "seed": st.integers(0, 2**63),
}


def stream(num_tokens: int) -> np.ndarray:
    """Each token is its own position, so a batch shows where it was taken from."""
    return np.arange(num_tokens, dtype=np.uint16)


def make(num_tokens: int, seq_len: int, sequences: int, seed: int = 0) -> Batches:
    return Batches(stream(num_tokens), min(seq_len, num_tokens - 1), sequences, seed)


@given(**SIZES)
def test_every_window_follows_the_stream_around_its_end(
    num_tokens: int, seq_len: int, sequences: int, seed: int
) -> None:
    batches = make(num_tokens, seq_len, sequences, seed)
    for step in (0, 1, 7, 1000):
        inputs, targets = batches.batch(step)
        assert inputs.shape == targets.shape == (sequences, batches.order.seq_len)
        assert inputs.dtype == targets.dtype == torch.int64
        assert inputs.is_contiguous()
        assert targets.is_contiguous()
        first = inputs[:, :1].numpy()
        assert np.array_equal(inputs.numpy(), (first + np.arange(batches.order.seq_len)) % num_tokens)
        assert np.array_equal(targets.numpy(), (inputs.numpy() + 1) % num_tokens)


@given(**SIZES)
def test_an_epoch_draws_no_target_twice_and_misses_less_than_a_window(
    num_tokens: int, seq_len: int, sequences: int, seed: int
) -> None:
    batches = make(num_tokens, seq_len, sequences, seed)
    steps = 3 * batches.order.windows_per_epoch // sequences + 1
    rows = torch.cat([batches.batch(step)[1] for step in range(steps)])
    for epoch in range(3):
        seen = (
            rows[epoch * batches.order.windows_per_epoch : (epoch + 1) * batches.order.windows_per_epoch]
            .flatten()
            .tolist()
        )
        if len(seen) == batches.order.windows_per_epoch * batches.order.seq_len:
            assert len(set(seen)) == len(seen)
            assert num_tokens - len(seen) < batches.order.seq_len


@given(**SIZES, other=st.integers(1, 9))
def test_the_row_of_windows_does_not_depend_on_how_it_is_cut(
    num_tokens: int, seq_len: int, sequences: int, seed: int, other: int
) -> None:
    one, two = make(num_tokens, seq_len, sequences, seed), make(num_tokens, seq_len, other, seed)
    a = np.concatenate([one.order.starts(step) for step in range(other)])
    b = np.concatenate([two.order.starts(step) for step in range(sequences)])
    assert np.array_equal(a, b)


def test_a_step_needs_no_step_before_it() -> None:
    through = make(1000, 16, 4, seed=3)
    all_steps = [through.batch(step) for step in range(60)]
    for step in (59, 0, 32, 31, 30):
        alone = make(1000, 16, 4, seed=3).batch(step)
        drawn_alone = through.stream.windows(through.order.starts(step))
        assert all(torch.equal(a, b) for a, b in zip(alone, drawn_alone, strict=True))
        assert torch.equal(alone[0], all_steps[step][0])
        assert torch.equal(alone[1], all_steps[step][1])


def test_seeds_and_epochs_differ() -> None:
    batches = make(1000, 10, 100, seed=0)  # an epoch a step
    orders = [batches.order.starts(0), batches.order.starts(1), make(1000, 10, 100, seed=1).order.starts(0)]
    assert len({order.tobytes() for order in orders}) == 3
    assert len({int(order[0]) % 10 for order in (batches.order.starts(step) for step in range(50))}) == 10  # phases


def test_an_epoch_may_be_shorter_than_a_batch() -> None:
    inputs, _ = make(5, 4, 7).batch(2)
    assert inputs.shape == (7, 4)


def test_every_start_is_about_equally_likely() -> None:
    batches = make(50, 7, 7)
    counts = np.bincount(np.concatenate([batches.order.starts(step) for step in range(5000)]), minlength=50)
    assert counts.min() > 0.85 * counts.mean()  # mean 700, Poisson sd 26
    assert counts.max() < 1.15 * counts.mean()


def test_the_order_is_pinned() -> None:
    """The same on every machine and numpy: only raw bits of Philox are used. A change here makes all runs anew."""
    assert make(1000, 16, 8, seed=1234).order.starts(5).tolist() == [409, 937, 825, 249, 473, 969, 841, 441]


def test_the_stream_is_copied_from_a_read_only_map() -> None:
    tokens = stream(100)
    tokens.flags.writeable = False
    inputs, targets = Batches(tokens, 10, 2, 0).batch(0)
    expected, shifted = make(100, 10, 2).batch(0)
    assert torch.equal(inputs, expected)
    assert torch.equal(targets, shifted)


@pytest.mark.parametrize("seq_len", [0, 100])
def test_a_stream_too_short_is_our_own_mistake(seq_len: int) -> None:
    with pytest.raises(AssertionError):
        Batches(stream(100), seq_len, 2, 0)


def test_the_tokens_go_when_the_run_is_over() -> None:
    """Without the collector, which a worker that trains run after run seldom hears."""
    batches = make(100, 10, 2)
    batches.batch(0)
    tokens = weakref.ref(batches.stream._tokens)
    gc.disable()
    try:
        del batches
        assert tokens() is None
    finally:
        gc.enable()
