"""Runs trained as one stack: the losses of the runs trained apart, each with its own data, clipping and end."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.model.transformer import Transformer
from harness.spec.recipe import Recipe
from harness.spec.spec import Choice, Spec
from harness.train import checkpoint, precision, trainer
from harness.train import stacked as stacked_module
from harness.train.checkpoint import checkpoints, weights_of
from harness.train.stacked import train_stack
from harness.train.trainer import Training, train

SPEC = Spec(n_layers=1, d_model=16, n_heads=2, d_ff=32, seq_len=8, vocab_size=32)
MODERN = SPEC.replace(norm=Choice("rms"), position=Choice("rope"), activation=Choice("swiglu"))
RECIPE = Recipe(tokens_per_step=32)
STEPS = 24


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop and a divergence need a look, and few steps come before the first."""
    for module in (trainer, stacked_module):
        monkeypatch.setattr(module, "CHECK_EVERY", 10)


class Random:
    """Other batches for every seed, addressed by step."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(1000 * self.seed + step)
        text = torch.randint(32, (4, 9), generator=generator)
        return text[:, :-1], text[:, 1:]


class Stacked:
    """Batches of several seeds."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self.sources = [Random(seed) for seed in seeds]

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        tokens, targets = zip(*(source.batch(step) for source in self.sources), strict=True)
        return torch.stack(tokens), torch.stack(targets)


def stacked(
    folder: Path, spec: Spec, seeds: Sequence[int], recipe: Recipe = RECIPE, models: Any = None, **how: Any
) -> tuple[list[Training], list[dict[str, Tensor]]]:
    models = models or [Transformer(spec, seed=seed) for seed in seeds]
    folders = [folder / str(seed) for seed in seeds]
    trainings = train_stack(models, Stacked(seeds), recipe, STEPS, folders=folders, **how)
    return trainings, [weights_of(model) for model in models]


def apart(folder: Path, spec: Spec, seed: int, recipe: Recipe = RECIPE) -> tuple[Training, dict[str, Tensor]]:
    model = Transformer(spec, seed=seed)
    return train(model, Random(seed), recipe, STEPS, folder=folder / f"apart-{seed}"), weights_of(model)


def same(one: tuple[Training, dict[str, Tensor]], other: tuple[Training, dict[str, Tensor]]) -> bool:
    losses = torch.equal(one[0].losses, other[0].losses)
    return losses and all(torch.equal(one[1][name], other[1][name]) for name in one[1])


CARRIED = {
    "baseline": SPEC,
    "modern": MODERN,
    "untied": SPEC.replace(tied_head=False, attention=Choice("gqa"), norm=Choice("dyt"), residual=Choice("sandwich")),
    "convolution": SPEC.replace(ffn=Choice("mixffn"), position=Choice("alibi")),
}


@pytest.mark.parametrize("name", CARRIED)
def test_losses_are_those_of_runs_trained_apart(tmp_path: Path, name: str) -> None:
    spec, seeds = CARRIED[name], (0, 1, 5)
    trainings, weights = stacked(tmp_path, spec, seeds)
    assert len({training.losses[-1].item() for training in trainings}) == len(seeds)
    for seed, training, tensors in zip(seeds, trainings, weights, strict=True):
        single, expected = apart(tmp_path, spec, seed)
        assert training.status == single.status == "finished"
        torch.testing.assert_close(training.losses, single.losses, rtol=1e-5, atol=0)
        torch.testing.assert_close(training.norms, single.norms, rtol=1e-3, atol=0)
        assert tensors.keys() == expected.keys()
        for key, tensor in expected.items():
            if not key.endswith("attention.k.bias"):  # its true gradient is 0; AdamW magnifies what rounding leaves
                torch.testing.assert_close(tensors[key], tensor, rtol=1e-3, atol=1e-4)


def test_a_stack_of_one_trains_like_a_run_whose_logits_are_sliced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bf16: the backward must read the stack's weights, and not those that its module began with."""
    monkeypatch.setattr(precision, "WHOLE_LOGITS", 5 * SPEC.vocab_size)
    models = [precision.make_model(SPEC, 0, "bf16") for _ in range(2)]
    (training,), _ = stacked(tmp_path, SPEC, (0,), models=models[:1])
    single = train(models[1], Random(0), RECIPE, STEPS, folder=tmp_path / "apart")
    torch.testing.assert_close(training.losses, single.losses, rtol=2e-3, atol=0)


def test_each_run_is_clipped_by_its_own_norm(tmp_path: Path) -> None:
    """In fp64, with a clip that always holds; one run's gradients are much larger than the other's."""
    recipe = Recipe(**{**RECIPE.to_json(), "clip": 1e-3})

    def model(seed: int) -> Transformer:
        made = Transformer(SPEC.replace(tied_head=False), seed=seed).double()
        with torch.no_grad():
            made.head.weight.mul_(1 if seed else 30)
        return made

    trainings, _ = stacked(tmp_path, SPEC, (0, 1), recipe, models=[model(0), model(1)])
    for seed in (0, 1):
        single = train(model(seed), Random(seed), recipe, STEPS, folder=tmp_path / f"apart-{seed}")
        torch.testing.assert_close(trainings[seed].losses, single.losses, rtol=1e-6, atol=0)


def test_the_bits_of_a_run_do_not_depend_on_the_others(tmp_path: Path) -> None:
    """Nor on its place, nor on whether the rows beside it are fillers: so a key says only how many rows there are."""
    seeds = (0, 1, 2, 3)
    whole = list(zip(*stacked(tmp_path / "whole", MODERN, seeds), strict=True))
    turned = list(zip(*stacked(tmp_path / "turned", MODERN, seeds[::-1]), strict=True))
    few = list(zip(*stacked(tmp_path / "few", MODERN, (2, 7), rows=4), strict=True))
    assert all(same(whole[i], turned[3 - i]) for i in range(4))
    assert same(few[0], whole[2])


@pytest.mark.parametrize("name", ["baseline", "modern"])
def test_a_stopped_stack_ends_with_the_same_bits(tmp_path: Path, name: str) -> None:
    spec, seeds = CARRIED[name], (0, 1)
    whole = list(zip(*stacked(tmp_path / "whole", spec, seeds, rows=3), strict=True))
    for _ in range(2):
        trainings, _ = stacked(tmp_path / "cut", spec, seeds, rows=3, should_stop=lambda: True)
        assert [training.status for training in trainings] == ["stopped", "stopped"]
    last = list(zip(*stacked(tmp_path / "cut", spec, seeds, rows=3), strict=True))
    assert all(same(one, other) for one, other in zip(whole, last, strict=True))


@pytest.mark.parametrize("lost", ["ahead", "damaged"])
def test_a_stack_goes_on_from_the_newest_step_that_all_runs_have(tmp_path: Path, lost: str) -> None:
    seeds = (0, 1)
    whole = list(zip(*stacked(tmp_path / "whole", SPEC, seeds), strict=True))
    for _ in range(2):
        stacked(tmp_path / "cut", SPEC, seeds, should_stop=lambda: True)
    newest = checkpoints(tmp_path / "cut" / "1")[-1]
    reached: list[int] = []
    how: dict[str, Any] = {"on_progress": lambda run, step, loss: reached.append(step)}
    if lost == "ahead":  # a kill between the saving of run 0 and that of run 1
        shutil.rmtree(newest)
        last, weights = stacked(tmp_path / "cut", SPEC, seeds, **how)
    else:
        file = newest / "weights.safetensors"
        file.write_bytes(file.read_bytes()[:-7])
        with pytest.warns(checkpoint.DamagedCheckpoint, match="goes on from step 10"):
            last, weights = stacked(tmp_path / "cut", SPEC, seeds, **how)
    assert reached[0] == 20
    assert all(same(one, other) for one, other in zip(whole, zip(last, weights, strict=True), strict=True))


def test_runs_without_a_common_checkpoint_start_anew(tmp_path: Path) -> None:
    """Also where one of them had been loaded before the other turned out to be damaged."""
    seeds = (0, 1)
    whole = list(zip(*stacked(tmp_path / "whole", SPEC, seeds), strict=True))
    stacked(tmp_path / "cut", SPEC, seeds, should_stop=lambda: True)
    (checkpoints(tmp_path / "cut" / "1")[-1] / "position.json").write_text("{}")
    with pytest.warns(checkpoint.DamagedCheckpoint, match="starts anew"):
        last = list(zip(*stacked(tmp_path / "cut", SPEC, seeds), strict=True))
    assert all(same(one, other) for one, other in zip(whole, last, strict=True))


def test_a_stacked_run_goes_on_apart(tmp_path: Path) -> None:
    """Weights, moments and AdamW's count are where the eager step looks for them."""
    stacked(tmp_path, SPEC, (0, 1), should_stop=lambda: True)
    single, _ = apart(tmp_path, SPEC, 1)
    last = train(Transformer(SPEC, seed=1), Random(1), RECIPE, STEPS, folder=tmp_path / "1")
    torch.testing.assert_close(last.losses, single.losses, rtol=1e-5, atol=0)


def test_a_run_that_diverges_does_not_disturb_the_others(tmp_path: Path) -> None:
    models = [Transformer(SPEC, seed=seed) for seed in (0, 1)]

    class Poisoned(Stacked):
        def batch(self, step: int) -> tuple[Tensor, Tensor]:
            if step == 14:
                with torch.no_grad():
                    models[0].embedding.weight.fill_(math.inf)  # a slice of the stack
            return super().batch(step)

    told: list[tuple[int, int]] = []
    how: dict[str, Any] = {"on_progress": lambda run, step, loss: told.append((run, step))}
    folders = [tmp_path / "0", tmp_path / "1"]
    bad, good = train_stack(models, Poisoned((0, 1)), RECIPE, STEPS, folders=folders, **how)
    whole, _ = stacked(tmp_path / "whole", SPEC, (0, 1))
    assert (bad.status, good.status) == ("diverged", "finished")
    assert "at step 14 of 24" in bad.reason
    assert len(bad.losses) == 15
    assert torch.equal(good.losses, whole[1].losses)
    assert told == [(0, 10), (1, 10), (1, 20), (1, 24)]


def test_a_divergence_that_a_checkpoint_holds_is_found_again(tmp_path: Path) -> None:
    models = [Transformer(SPEC, seed=seed) for seed in (0, 1)]
    with torch.no_grad():
        models[0].embedding.weight.fill_(math.nan)
    first, _ = stacked(tmp_path, SPEC, (0, 1), models=models, should_stop=lambda: True)
    assert [training.status for training in first] == ["diverged", "stopped"]
    second, _ = stacked(tmp_path, SPEC, (0, 1))
    assert [training.status for training in second] == ["diverged", "finished"]
    assert second[0].reason == first[0].reason
