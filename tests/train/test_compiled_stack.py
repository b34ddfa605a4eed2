"""The recorded graph of a stack's step is the step; what a compiler makes of it is compared before it is used."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, fx

from harness.model.transformer import Transformer
from harness.spec.recipe import Recipe
from harness.spec.spec import Choice, Spec
from harness.train import compiled_stack
from harness.train import stacked as stacked_module
from harness.train.compiled_stack import CompiledStack
from harness.train.optimizer import make_optimizer
from harness.train.precision import make_model
from harness.train.stack import Stack, quiet_vmap
from harness.train.stacked import train_stack
from harness.train.trainer import Training
from variants.errors import UserError
from variants.ffn._experts import Experts

SPEC = Spec(n_layers=1, d_model=16, n_heads=2, d_ff=32, seq_len=8, vocab_size=32)
MODERN = SPEC.replace(norm=Choice("rms"), position=Choice("rope"), activation=Choice("swiglu"), tied_head=False)
RECIPE = Recipe(tokens_per_step=32, clip=0.1)
STEPS = 24


class Batches:
    """Random text for two runs, addressed by step."""

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        text = torch.randint(32, (2, 4, 9), generator=torch.Generator().manual_seed(step))
        return text[..., :-1].contiguous(), text[..., 1:].contiguous()


def as_recorded(graph: fx.GraphModule, device: torch.device) -> fx.GraphModule:
    return graph


as_one_graph = partial(CompiledStack, batch=Batches().batch(0), compiler=as_recorded)


def train(folder: Path, spec: Spec, **how: object) -> list[Training]:
    models = [Transformer(spec, seed=seed).double() for seed in (0, 1)]
    folders = [folder / "0", folder / "1"]
    return train_stack(models, Batches(), RECIPE, STEPS, folders=folders, rows=3, **how)  # pyright: ignore


@pytest.mark.parametrize("spec", [SPEC, MODERN])
def test_the_graph_is_the_step(tmp_path: Path, spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    """In fp64, stopped in between: weights, moments and counts are in the checkpoints of either."""
    monkeypatch.setattr(stacked_module, "CHECK_EVERY", 10)
    eager = train(tmp_path / "eager", spec, make_step=Stack)
    stopped = train(tmp_path / "graph", spec, make_step=as_one_graph, should_stop=lambda: True)
    assert [training.status for training in stopped] == ["stopped"] * 2
    graph = train(tmp_path / "graph", spec, make_step=as_one_graph)
    for one, other in zip(graph, eager, strict=True):
        torch.testing.assert_close(one.losses, other.losses, rtol=1e-6, atol=0)
        torch.testing.assert_close(one.norms, other.norms, rtol=1e-6, atol=0)


def test_the_graph_is_the_step_in_bf16() -> None:
    losses = []
    for make_step in (Stack, as_one_graph):
        models = [make_model(MODERN, seed, "bf16").train() for seed in (0, 1)]
        optimizers = [make_optimizer(model, RECIPE) for model in models]
        step = make_step(models, optimizers, RECIPE, STEPS, None)
        with quiet_vmap():
            losses.append(torch.stack([step(Batches().batch(i), i) for i in range(3)]))
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-2, atol=0)


def test_a_wrong_compilation_is_not_used(tmp_path: Path) -> None:
    def wrong(graph: fx.GraphModule, device: torch.device):
        def step(weights: Tensor, first: Tensor, *rest: object) -> tuple[Tensor, Tensor]:
            found = graph(weights, first, *rest)
            first *= 1.001
            return found

        return step

    with pytest.raises(UserError, match="differs from its graph"):
        train(tmp_path, SPEC, make_step=partial(as_one_graph, compiler=wrong))


def test_a_step_in_bf16_may_differ_as_rounding_its_weights_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounding sends some tokens of a mixture elsewhere; what differs by more than that is wrong."""
    monkeypatch.setattr(Experts, "can_group", lambda self, tokens: True)  # no length of a slice is read
    spec = SPEC.replace(n_layers=2, seq_len=32, ffn=Choice("moe"))
    text = torch.randint(32, (1, 64, 33), generator=torch.Generator().manual_seed(0))

    def rounded(graph: fx.GraphModule, device: torch.device, wrong: float = 1.0) -> Callable[..., Any]:
        def step(weights: Tensor, first: Tensor, *rest: Any) -> Any:
            moved = weights * (1 + 2**-9 * torch.sin(torch.arange(weights.numel())))
            found = graph(moved, first, *rest)
            first *= wrong
            return found

        return step

    def made(compiler: Callable[..., Any]) -> CompiledStack:
        models = [make_model(spec, 0, "bf16").train()]
        batch = (text[..., :-1], text[..., 1:])
        return CompiledStack(models, [make_optimizer(models[0], RECIPE)], RECIPE, STEPS, 1, batch, compiler)

    monkeypatch.setattr(compiled_stack, "OWN_CHANGES", 0.0)
    with pytest.raises(UserError, match="differs from its graph"):
        made(rounded)
    monkeypatch.undo()
    monkeypatch.setattr(Experts, "can_group", lambda self, tokens: True)
    made(rounded)
    with pytest.raises(UserError, match="differs from its graph"):
        made(partial(rounded, wrong=1.5))
