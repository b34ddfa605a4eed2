"""Peak memory against an allocation that is known."""

from __future__ import annotations

import torch

from harness.model.transformer import Transformer
from harness.score.throughput.memory import cpu_peak, peak_memory, peak_of
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec
from harness.train.optimizer import make_optimizer


def test_the_largest_running_sum() -> None:
    assert peak_of([]) == 0
    assert peak_of([(0, 5), (1, 3), (2, -5), (3, 4), (4, -7)]) == 8


def test_an_allocation_is_seen_and_what_is_given_back_is_not_held() -> None:
    def call() -> None:
        for _ in range(3):
            torch.empty(2**20, dtype=torch.uint8)

    assert 2**20 <= cpu_peak(call) < 2**20 + 2**16


def test_a_step_holds_weights_moments_and_at_least_the_gradients() -> None:
    model = Transformer(Spec(n_layers=1, d_model=16, n_heads=2, seq_len=8), seed=0)
    optimizer, tokens = make_optimizer(model, Recipe()), torch.zeros(2, 8, dtype=torch.int64)

    def step() -> None:
        model.loss(tokens, tokens).backward()
        optimizer.step()

    step()
    weights = 4 * sum(p.numel() for p in model.parameters())
    peak = peak_memory(model, optimizer, step)
    assert peak.step_bytes is not None
    assert peak.total_bytes is not None
    assert weights < peak.step_bytes < 20 * weights
    assert 4 * weights < peak.total_bytes < 24 * weights
    assert "CPU allocator" in peak.how
