"""The trainer: nothing lost by a stop, divergence seen, the schedule ends where the run ends."""

from __future__ import annotations

import itertools
import math
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness.model.transformer import Transformer
from harness.spec.recipe import Recipe
from harness.spec.spec import Choice, Spec
from harness.train import checkpoint, trainer
from harness.train.checkpoint import checkpoints, weights_of
from harness.train.optimizer import make_optimizer, parameter_groups
from harness.train.schedule import learning_rate
from harness.train.trainer import train, train_step

SPEC = Spec(n_layers=1, d_model=16, n_heads=2, d_ff=32, seq_len=8, vocab_size=32)
RECIPE = Recipe(tokens_per_step=32)
STEPS = 120


class RandomBatches:
    """Batches addressed by step."""

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        text = torch.randint(32, (4, 9), generator=torch.Generator().manual_seed(step))
        return text[:, :-1], text[:, 1:]


class PoisonedBatches(RandomBatches):
    """A model whose weights were made infinite at step 70 by hand."""

    def __init__(self, model: Transformer) -> None:
        self.model = model

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        if step == 70:
            with torch.no_grad():
                self.model.embedding.weight.fill_(math.inf)
        return super().batch(step)


def run(folder: Path, spec: Spec = SPEC, **changes: object) -> tuple[trainer.Training, dict[str, Tensor]]:
    model = Transformer(spec, seed=0)
    return train(model, RandomBatches(), RECIPE, STEPS, folder=folder, **changes), weights_of(model)  # pyright: ignore


@pytest.mark.parametrize("ffn", ["dense", "moe", "mixffn"])
def test_a_stopped_run_ends_with_the_same_bits(tmp_path: Path, ffn: str) -> None:
    spec = SPEC.replace(ffn=Choice(ffn))
    whole, expected = run(tmp_path / "whole", spec)
    assert whole.status == "finished"
    first, _ = run(tmp_path / "cut", spec, should_stop=lambda: True)
    second, _ = run(tmp_path / "cut", spec, should_stop=lambda: True)
    last, weights = run(tmp_path / "cut", spec)
    assert [first.status, second.status, last.status] == ["stopped", "stopped", "finished"]
    assert len(first.losses) < len(second.losses) < STEPS
    assert torch.equal(whole.history, last.history)
    assert all(torch.equal(expected[name], weights[name]) for name in expected)


def test_norms_are_of_the_gradient_before_it_is_clipped(tmp_path: Path) -> None:
    training, _ = run(tmp_path, SPEC)
    model, (tokens, targets) = Transformer(SPEC, seed=0), RandomBatches().batch(0)
    model.loss(tokens, targets).backward()
    norm = sum(p.grad.double().square().sum() for p in model.parameters() if p.grad is not None) ** 0.5
    assert training.norms[0].item() == pytest.approx(float(norm), rel=1e-5)
    assert training.norms.shape == (STEPS,)


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    whole, expected = run(tmp_path / "whole")
    run(tmp_path / "cut", should_stop=lambda: True)
    run(tmp_path / "cut", should_stop=lambda: True)
    newest = checkpoints(tmp_path / "cut")[-1] / "weights.safetensors"
    newest.write_bytes(newest.read_bytes()[:-7])
    with pytest.warns(UserWarning, match="damaged"):
        last, weights = run(tmp_path / "cut")
    assert torch.equal(whole.losses, last.losses)
    assert all(torch.equal(expected[name], weights[name]) for name in expected)


def test_a_half_written_checkpoint_is_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Transformer(SPEC, seed=0)
    optimizer = make_optimizer(model, RECIPE)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_durably", lambda *a: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(OSError, match="No space left"):
            checkpoint.save(tmp_path, model, optimizer, checkpoint.Progress(1, torch.zeros(2, 1), 0.0))
    assert list(tmp_path.iterdir()) == []


def test_divergence_names_the_step(tmp_path: Path) -> None:
    model = Transformer(SPEC, seed=0)
    training = train(model, PoisonedBatches(model), RECIPE, STEPS, folder=tmp_path)
    assert training.status == "diverged"
    assert "at step 70 of 120" in training.reason
    assert len(training.losses) == 71


def test_schedule_rises_and_ends_at_the_last_step() -> None:
    recipe = Recipe(lr=2.0, warmup=0.1, final_lr=0.1)
    rates = [learning_rate(recipe, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == rates[9] == pytest.approx(2.0)
    assert all(a > b for a, b in itertools.pairwise(rates[9:]))
    assert rates[-1] == pytest.approx(0.2)
    # oracle: torch's own cosine schedule over the 90 steps after the warm-up
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=90, eta_min=0.2)
    for rate in rates[10:]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # stepping the schedule before the optimizer is meant
            cosine.step()
        assert rate == pytest.approx(cosine.get_last_lr()[0])


def test_one_step_is_clipped_adamw() -> None:
    """Against the update written out (Loshchilov and Hutter 2017, algorithm 2), where m-hat = g and v-hat = g^2."""
    torch.manual_seed(0)
    recipe = Recipe(lr=0.01, warmup=0.01, clip=0.5)
    model = Transformer(SPEC, seed=0).double()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    batch = RandomBatches().batch(0)
    model.loss(*batch).backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    decayed = {name for name, _ in parameter_groups(model)[0]}
    train_step(model, make_optimizer(model, recipe), batch, recipe, 0, 100)
    norm = torch.stack([g.norm() for g in gradients.values()]).norm()
    scale = min(1.0, recipe.clip / (norm.item() + 1e-6))
    for name, p in model.named_parameters():
        g = gradients[name] * scale
        decay = recipe.weight_decay if name in decayed else 0.0
        expected = before[name] * (1 - recipe.lr * decay) - recipe.lr * g / (g.abs() + 1e-8)
        torch.testing.assert_close(p.detach(), expected, rtol=1e-9, atol=1e-12)


def test_gains_biases_and_kernels_do_not_decay() -> None:
    model = Transformer(SPEC.replace(ffn=Choice("mixffn")), seed=0)
    decayed, rest = parameter_groups(model)
    assert {id(p) for _, p in decayed + rest} == {id(p) for p in model.parameters()}
    assert len(decayed) + len(rest) == len(list(model.parameters()))
    assert all(p.ndim >= 2 for _, p in decayed)
    assert {name for name, p in rest if p.ndim >= 2} == {"layers.0.ffn.conv.weight"}
