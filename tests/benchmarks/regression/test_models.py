"""A training step and a decoding step of each preset family, and the trainer's loop."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness.data.batches import Batches
from harness.model.replay import Step
from harness.model.transformer import Transformer
from harness.plan.ledger import count
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec
from harness.train.optimizer import make_optimizer
from harness.train.trainer import train, train_step
from tests.benchmarks.regression.conftest import Compare
from tests.benchmarks.regression.reference import gemm
from tests.numerics.families import families

SEQ_LEN, SEQUENCES = 64, 4
FAMILIES = families("2x48", SEQ_LEN)
RECIPE = Recipe(lr=1e-6, tokens_per_step=SEQ_LEN * SEQUENCES)
"""A learning rate that leaves routers where they are: a step then costs the same however many were taken."""

every_family = pytest.mark.parametrize("spec", FAMILIES.values(), ids=list(FAMILIES))


def batches(spec: Spec) -> Batches:
    tokens = torch.randint(spec.vocab_size, (20_000,), generator=torch.Generator().manual_seed(0))
    return Batches(tokens.numpy(), SEQ_LEN, SEQUENCES, seed=0)


def step_flops(spec: Spec) -> float:
    return RECIPE.tokens_per_step * count(spec).training_flops_per_token


@every_family
def test_training_step(compare: Compare, spec: Spec) -> None:
    model = Transformer(spec, seed=0).train()
    optimizer, batch = make_optimizer(model, RECIPE), batches(spec).batch(0)
    compare(lambda: train_step(model, optimizer, batch, RECIPE, 50, 100), gemm(step_flops(spec)))


@every_family
def test_decode_step(compare: Compare, spec: Spec) -> None:
    """One more token of one text after half a context."""
    with torch.inference_mode():
        model = Transformer(spec, seed=0).eval()
        state, tokens = model.new_state(1, SEQ_LEN), batches(spec).batch(0)[0][:1]
        model.forward(tokens[:, : SEQ_LEN // 2], state)
        step = Step(model, state)

        def decode() -> None:
            state.length = SEQ_LEN // 2
            step(tokens[:, SEQ_LEN // 2 : SEQ_LEN // 2 + 1])

        compare(decode, gemm(count(spec).decode_flops_per_token or 0.0))


def test_trainer(compare: Compare, tmp_path: Path) -> None:
    """`train` for 8 steps: optimizer, batches, schedule, losses, looks; nothing to restore and no checkpoint."""
    spec = FAMILIES["gpt2"]
    model, source, steps = Transformer(spec, seed=0), batches(spec), 8
    compare(lambda: train(model, source, RECIPE, steps, folder=tmp_path / "run"), gemm(steps * step_flops(spec)))
