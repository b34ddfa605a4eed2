"""The compiled step is the eager one to rounding, is resumed to the same bits, and refuses what it cannot follow."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from harness.model.transformer import Transformer
from harness.spec.recipe import Recipe
from harness.spec.spec import Choice, Spec
from harness.train import compiled
from harness.train.checkpoint import weights_of
from harness.train.compile import find_compiler
from harness.train.compiled import (
    check_numbers,
    compare_with_eager,
    compiled_function,
    example,
    obstacle,
    plain_numbers,
    recorded,
)
from harness.train.flat import ALIGNMENT, FlatState, Layout
from harness.train.optimizer import make_optimizer
from harness.train.trainer import Training, train
from variants import registry
from variants.errors import UserError

SPEC = Spec(n_layers=1, d_model=16, n_heads=2, d_ff=32, seq_len=8, vocab_size=33)
RECIPE = Recipe(tokens_per_step=32, lr=3e-3)
STEPS = 250
SHAPE = torch.Size((4, 8))
CPU = torch.device("cpu")

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="needs a C++ compiler")

MIXTURES = {"deepseek", "deepseek_v3", "mixtral", "moe", "olmoe", "switch"}
"""They read how many tokens chose an expert."""


class Texts:
    """Batches addressed by step: sentences that count upwards, so that there is something to learn."""

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(step)
        starts = torch.randint(33, (4, 1), generator=generator)
        text = (starts + torch.arange(9)) % 33
        return text[:, :-1].contiguous(), text[:, 1:].contiguous()


def run(folder: Path, spec: Spec = SPEC, seed: int = 0, **changes: object) -> tuple[Training, dict[str, Tensor]]:
    model = Transformer(spec, seed=seed)
    training = train(model, Texts(), RECIPE, STEPS, folder=folder, **changes)  # pyright: ignore
    return training, weights_of(model)


@needs_compiler
def test_losses_are_the_eager_ones_to_rounding(tmp_path: Path) -> None:
    eager, weights = run(tmp_path / "eager")
    fast, fast_weights = run(tmp_path / "fast", step_kind="compiled")
    assert eager.losses[-1] < 0.8 * eager.losses[0]  # something was learned, so a wrong update would show
    torch.testing.assert_close(fast.losses, eager.losses, rtol=1e-5, atol=0)
    torch.testing.assert_close(fast.norms, eager.norms, rtol=1e-3, atol=0)
    for name, weight in weights.items():
        if not name.endswith("attention.k.bias"):  # its true gradient is 0; AdamW magnifies what rounding leaves
            torch.testing.assert_close(fast_weights[name], weight, rtol=1e-3, atol=1e-4)


@needs_compiler
def test_a_shape_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path / "0", step_kind="compiled")
    monkeypatch.setattr(torch, "compile", lambda *a, **k: pytest.fail("compiled again"))
    second, weights = run(tmp_path / "1", seed=1, step_kind="compiled")
    eager, expected = run(tmp_path / "2", seed=1)
    torch.testing.assert_close(second.losses, eager.losses, rtol=1e-5, atol=0)
    assert weights.keys() == expected.keys()


@needs_compiler
def test_a_stopped_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole, expected = run(tmp_path / "whole", step_kind="compiled")
    for _ in range(2):
        stopped, _ = run(tmp_path / "cut", step_kind="compiled", should_stop=lambda: True)
        assert stopped.status == "stopped"
    last, weights = run(tmp_path / "cut", step_kind="compiled")
    assert last.status == "finished"
    assert torch.equal(whole.losses, last.losses)
    assert all(torch.equal(expected[name], weights[name]) for name in expected)


@needs_compiler
def test_a_compiled_run_goes_on_eagerly_from_its_checkpoint(tmp_path: Path) -> None:
    """Weights, moments and AdamW's count are where the eager step looks for them."""
    eager, _ = run(tmp_path / "eager")
    run(tmp_path / "cut", step_kind="compiled", should_stop=lambda: True)
    last, _ = run(tmp_path / "cut")
    torch.testing.assert_close(last.losses, eager.losses, rtol=1e-5, atol=0)


@needs_compiler
def test_recomputing_and_compiling_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="eager"):
        run(tmp_path, step_kind="compiled", recompute_activations=True)


@pytest.mark.parametrize(
    ("slot", "variant"), [(slot, name) for slot in registry.SLOTS for name in registry.names(slot)]
)
def test_every_variant_is_recorded_or_refused_with_a_reason(slot: str, variant: str) -> None:
    options = (("leaks", True),) if variant == "expert_choice" else ()
    reason = obstacle(SPEC.replace(**{slot: Choice(variant, options)}), RECIPE)
    assert (reason is not None) == (variant in MIXTURES)
    assert reason is None or "--compile off" in reason


@pytest.mark.parametrize("change", [{}, {"position": Choice("rope")}, {"ffn": Choice("mixffn")}, {"tied_head": False}])
def test_the_recorded_graph_is_the_step(change: dict[str, Choice]) -> None:
    """In fp64 and uncompiled, so that only a wrong formula can differ."""
    spec = SPEC.replace(**change)
    graph = recorded(spec, RECIPE, SHAPE, torch.float64, CPU)
    compare_with_eager(graph, spec, RECIPE, SHAPE, torch.float64, CPU)
    _, arguments = example(spec, RECIPE, SHAPE, torch.float64, CPU, seed=3)
    model, (*_, tokens, targets, _) = example(spec, RECIPE, SHAPE, torch.float64, CPU, seed=3)
    optimizer = make_optimizer(model, RECIPE)
    step = compiled.EagerStep(model, optimizer, Recipe(**{**RECIPE.to_json(), "warmup": 0.0}), num_steps=10**9)
    with torch.no_grad():
        graph(*arguments)
    step((tokens, targets), 0)
    expected = Layout.of(model).join([dict(model.named_parameters())[n].detach() for n in Layout.of(model).names])
    torch.testing.assert_close(arguments[0], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("clip", [1e-2, 1e3])
def test_gradients_are_clipped_and_never_stretched(clip: float) -> None:
    recipe = Recipe(**{**RECIPE.to_json(), "clip": clip})
    graph = recorded(SPEC, recipe, SHAPE, torch.float64, CPU)
    compare_with_eager(graph, SPEC, recipe, SHAPE, torch.float64, CPU)


def test_a_wrong_graph_is_not_handed_out() -> None:
    graph = recorded(SPEC, RECIPE, SHAPE, torch.float32, CPU)

    def wrong(weights: Tensor, first: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor]:
        found = graph(weights, first, *rest)
        first *= 1.001
        return found

    compare_with_eager(graph, SPEC, RECIPE, SHAPE, torch.float32, CPU)
    with pytest.raises(UserError, match="differs from the eager one"):
        compare_with_eager(wrong, SPEC, RECIPE, SHAPE, torch.float32, CPU)


@pytest.fixture
def odd_activation() -> Iterator[type[nn.Module]]:
    """A registered activation whose forward a test may replace."""
    activation = registry.get("activation", "relu")
    forward = activation.forward
    yield activation
    activation.forward = forward  # pyright: ignore


def test_a_tensor_from_elsewhere_is_refused(odd_activation: type[nn.Module]) -> None:
    hidden = torch.ones(32)
    odd_activation.forward = lambda self, up: up.relu() * hidden  # pyright: ignore
    assert "neither parameter nor buffer" in str(obstacle(SPEC.replace(activation=Choice("relu")), RECIPE))


def test_a_value_that_is_read_is_refused(odd_activation: type[nn.Module]) -> None:
    odd_activation.forward = lambda self, up: up.relu() if up.sum() > 0 else up  # pyright: ignore
    assert "values" in str(obstacle(SPEC.replace(activation=Choice("relu")), RECIPE))


def test_a_number_that_changes_is_found() -> None:
    model = Transformer(SPEC, seed=0)
    before = plain_numbers(model)
    check_numbers(before, model)
    next(model.layers.children()).ffn.temperature = 0.5  # pyright: ignore
    with pytest.raises(UserError, match=r"layers\.0\.ffn\.temperature changes"):
        check_numbers(before, model)


def test_a_layout_keeps_every_number_and_is_aligned() -> None:
    model = Transformer(SPEC.replace(ffn=Choice("mixffn")), seed=0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    state = FlatState.adopt(model, make_optimizer(model, RECIPE))
    layout = state.layout
    assert sorted(layout.names) == sorted(before)
    assert all(start % ALIGNMENT == 0 for start in layout.starts)
    assert all(a < b for a, b in itertools.pairwise(layout.starts))
    for name, view in layout.slices(state.weights).items():
        assert torch.equal(view, before[name])
        assert view.data_ptr() == dict(model.named_parameters())[name].data_ptr()
    assert torch.equal(layout.join(list(layout.slices(state.weights).values())), state.weights)


@needs_compiler
def test_the_cache_is_of_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(compiled, "compare_with_eager", lambda *a: None)
    monkeypatch.setattr(torch, "compile", lambda graph, **k: calls.append(graph) or graph)
    compiled_function.cache_clear()
    for spec, shape in [(SPEC, SHAPE), (SPEC, SHAPE), (SPEC.replace(d_ff=48), SHAPE), (SPEC, torch.Size((2, 8)))]:
        compiled_function(spec, RECIPE, shape, torch.float32, CPU)
    compiled_function.cache_clear()
    assert len(calls) == 3
