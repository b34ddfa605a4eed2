"""Branches of a trunk: the bits of runs that were never branched, whatever stops, breaks or joins them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness.model.transformer import Transformer
from harness.spec.recipe import Recipe
from harness.spec.spec import Choice, Spec
from harness.train.checkpoint import DamagedCheckpoint, checkpoints, weights_of
from harness.train.schedule import learning_rate
from harness.train.trainer import Training, train
from harness.train.trunk import extend_trunk, points_of

SPEC = Spec(n_layers=1, d_model=16, n_heads=2, d_ff=32, seq_len=8, vocab_size=32)
WSD = Recipe(tokens_per_step=32, schedule="wsd", warmup_steps=10)
SHORT, LONG = 120, 300  # the long one decays across step 250, where a trainer looks up
Result = tuple[Training, dict[str, Tensor]]


class RandomBatches:
    """Batches addressed by step."""

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        text = torch.randint(32, (4, 9), generator=torch.Generator().manual_seed(step))
        return text[:, :-1], text[:, 1:]


def straight(folder: Path, steps: int, spec: Spec = SPEC) -> Result:
    model = Transformer(spec, seed=0)
    return train(model, RandomBatches(), WSD, steps, folder=folder / f"straight-{steps}"), weights_of(model)


def extend(trunk: Path, steps: int, spec: Spec = SPEC, **how: object) -> str:
    return extend_trunk(trunk, Transformer(spec, seed=0), RandomBatches(), WSD, WSD.branch_step(steps), **how)


def branch(trunk: Path, steps: int, spec: Spec = SPEC, **how: object) -> Result:
    model, folder = Transformer(spec, seed=0), trunk.parent / f"branch-{steps}"
    done = train(model, RandomBatches(), WSD, steps, folder=folder, start=points_of(trunk), **how)  # pyright: ignore
    return done, weights_of(model)


def same(a: Result, b: Result) -> bool:
    return torch.equal(a[0].losses, b[0].losses) and all(torch.equal(a[1][name], b[1][name]) for name in a[1])


def test_the_schedule_rises_stays_and_falls_as_one_minus_sqrt() -> None:
    recipe = Recipe(lr=2.0, schedule="wsd", warmup=0.1, decay=0.3, final_lr=0.1)
    rates = [learning_rate(recipe, step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    assert rates[10:70] == [2.0] * 60
    assert rates[70:] == pytest.approx([2.0 * (0.1 + 0.9 * (1 - math.sqrt((i + 1) / 30))) for i in range(30)])
    assert recipe.branch_step(100) == 70
    assert all(learning_rate(recipe.trunk, step, 100) == max(r, 2.0) for step, r in enumerate(rates) if step >= 10)


def test_up_to_its_decay_a_run_does_not_depend_on_its_length() -> None:
    for step in range(WSD.branch_step(SHORT)):
        rates = {learning_rate(recipe, step, n) for recipe in (WSD, WSD.trunk) for n in (SHORT, LONG)}
        assert len(rates) == 1


def test_a_cosine_does_not_speak_of_wsd() -> None:
    """The keys of runs, calibrations and studies from before there was another schedule stay what they were."""
    assert set(Recipe().to_json()) & {"schedule", "decay", "warmup_steps"} == set()
    assert Recipe(**WSD.to_json()) == WSD


@pytest.mark.parametrize("ffn", ["dense", "moe"])
def test_branches_have_the_bits_of_runs_that_were_never_branched(tmp_path: Path, ffn: str) -> None:
    spec = SPEC.replace(ffn=Choice(ffn))
    for steps in (SHORT, LONG):
        assert extend(tmp_path / "trunk", steps, spec) == "finished"
        assert same(branch(tmp_path / "trunk", steps, spec), straight(tmp_path, steps, spec))
    kept = [path.name for path in checkpoints(points_of(tmp_path / "trunk"))]
    assert kept == [f"step-{WSD.branch_step(steps):010d}" for steps in (SHORT, LONG)]


def test_a_shorter_branch_comes_later(tmp_path: Path) -> None:
    extend(tmp_path / "trunk", LONG)
    extend(tmp_path / "trunk", SHORT)
    assert same(branch(tmp_path / "trunk", SHORT), straight(tmp_path, SHORT))


def test_stopped_trunks_and_branches_go_on_to_the_same_bits(tmp_path: Path) -> None:
    trunk = tmp_path / "trunk"
    assert extend(trunk, LONG, should_stop=lambda: True) == "stopped"
    assert extend(trunk, SHORT, should_stop=lambda: True) == "stopped", "another way, which ends before the first did"
    assert extend(trunk, SHORT) == "finished"
    assert extend(trunk, LONG) == "finished"
    stopped, _ = branch(trunk, LONG, should_stop=lambda: True)
    assert stopped.status == "stopped"
    assert len(stopped.losses) > WSD.branch_step(LONG), "it has begun to decay"
    assert same(branch(trunk, LONG), straight(tmp_path, LONG))


def test_a_damaged_point_is_passed_over_and_the_branch_begins_before_it(tmp_path: Path) -> None:
    trunk = tmp_path / "trunk"
    extend(trunk, SHORT)
    extend(trunk, LONG)
    newest = checkpoints(points_of(trunk))[-1] / "weights.safetensors"
    newest.write_bytes(newest.read_bytes()[:-7])
    with pytest.warns(DamagedCheckpoint, match="goes on from step 96"):
        found = branch(trunk, LONG)
    assert same(found, straight(tmp_path, LONG))


def test_a_trunk_that_diverges_says_so_and_its_branch_too(tmp_path: Path) -> None:
    class Poisoned(RandomBatches):
        def __init__(self, model: Transformer) -> None:
            self.model = model

        def batch(self, step: int) -> tuple[Tensor, Tensor]:
            if step == 70:
                with torch.no_grad():
                    self.model.embedding.weight.fill_(math.inf)
            return super().batch(step)

    trunk = tmp_path / "trunk"
    model = Transformer(SPEC, seed=0)
    assert extend_trunk(trunk, model, Poisoned(model), WSD, WSD.branch_step(SHORT)) == "diverged"
    model = Transformer(SPEC, seed=0)
    found = train(model, Poisoned(model), WSD, SHORT, folder=tmp_path / "branch", start=points_of(trunk))
    assert found.status == "diverged"
    assert "at step 70 of 120" in found.reason
