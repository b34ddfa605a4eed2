"""Spikes, norms and kurtosis, against values worked by hand and a loop over windows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.model.transformer import Transformer
from harness.score.stability import FEWEST, WINDOW, kurtosis, spikes, training_stability
from harness.spec.spec import Spec

RNG = np.random.default_rng(0)


def by_loop(values: np.ndarray) -> int:
    found = 0
    for i in range(FEWEST, len(values)):
        before = values[max(0, i - WINDOW) : i].astype(np.float64)
        found += values[i] - before.mean() >= 7 * before.std(ddof=1) and values[i] > before.mean()
    return found


def test_spikes_are_those_of_a_loop_over_windows() -> None:
    values = (4 * np.exp(-np.arange(3000) / 500) + 2 + 0.05 * RNG.standard_normal(3000)).astype(np.float32)
    values[[150, 1700, 2900]] += [20.0, 3.0, 0.9]
    values[2000] -= 3.0  # a fall is no spike
    assert spikes(values) == by_loop(values) > 0


def test_a_planted_spike_is_found_and_noise_is_none() -> None:
    values = 2 + 0.05 * RNG.standard_normal(4000)
    assert spikes(values) == 0
    values[[500, 2500]] += 1.0
    assert spikes(values) == 2
    assert spikes(values[: FEWEST // 2]) == 0
    assert spikes(np.full(500, 2.0)) == 0, "nothing rises where all are alike"


def test_norms_are_told_in_rows_and_shares() -> None:
    losses, norms = np.full(200, 2.0, np.float32), np.tile([0.5, 1.5, 0.5, 3.0], 50).astype(np.float32)
    found = training_stability(losses, norms, clip=1.0)
    assert found.clipped == 0.5
    assert found.judged_steps == 200 - FEWEST
    assert found.gradient_norm[0] == [4, 1.0, 3.0]
    assert found.gradient_norm[-1][0] == 200


def test_what_is_not_finite_is_left_out() -> None:
    losses, norms = np.array([2.0, 1.0, math.nan]), np.array([1.0, 2.0, math.inf])
    assert training_stability(losses, norms, 1.5).gradient_norm == [[1, 1.0, 1.0], [2, 2.0, 2.0]]
    nothing = training_stability(losses[2:], norms[2:], 1.5)
    assert (nothing.gradient_norm, nothing.clipped, nothing.judged_steps) == ([], 0.0, 0)


class Scaled(nn.Module):
    """A layer whose output has the channels' RMS it is told."""

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor, context: object, memory: object = None) -> Tensor:
        return torch.ones_like(x) * self.scale


@pytest.mark.parametrize(
    ("scale", "expected"), [([1.0] * 8, 1.0), ([1.0] + [0.0] * 7, 8.0), ([2.0] + [1.0] * 7, 8 * 23 / 11**2)]
)
def test_kurtosis_by_hand(scale: list[float], expected: float) -> None:
    """From 1, all channels alike, to their number, one holds all: mean of s^4 over squared mean of s^2."""
    model = Transformer(Spec(n_layers=2, d_model=8, n_heads=2, d_ff=8, seq_len=4, vocab_size=16), seed=0)
    model.layers[1] = Scaled(torch.tensor(scale))
    _, last = kurtosis(model, np.arange(100) % 16)
    assert last == pytest.approx(expected)
