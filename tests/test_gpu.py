"""What only a GPU can show: the numbers of a CPU, bits that repeat, stacks, graphs, bf16 and decoding there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.data.batches import Batches
from harness.data.stacked_batches import StackedBatches
from harness.model.cross_entropy import sliced_cross_entropy
from harness.model.decode import generate
from harness.model.transformer import Transformer
from harness.spec.recipe import Recipe
from harness.spec.spec import Choice, Spec
from harness.testing.contract import spec_of, tokens
from harness.train.checkpoint import weights_of
from harness.train.compiled_stack import CompiledStack
from harness.train.device import prepare_process
from harness.train.optimizer import make_optimizer
from harness.train.precision import Precision, make_model
from harness.train.stack import Stack, quiet_vmap
from harness.train.stackable import compare_with_apart, stack_obstacle
from harness.train.stacked import train_stack
from harness.train.trainer import StepKind, Training, train
from tests.benchmarks.contender import text
from variants import registry

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
    pytest.mark.filterwarnings("default"),  # the compiler and cuBLAS have their own
]

GPU = torch.device("cuda")
SPEC = Spec(n_layers=2, d_model=64, n_heads=2, d_ff=128, seq_len=32, vocab_size=64)
MODERN = {"norm": Choice("rms"), "position": Choice("rope"), "activation": Choice("swiglu")}
SPECS = {
    "baseline": SPEC,
    "modern": SPEC.replace(**MODERN),
    "moe": SPEC.replace(**MODERN, ffn=Choice("moe")),
    "mixffn": SPEC.replace(ffn=Choice("mixffn")),
}
RECIPE = Recipe(tokens_per_step=256)
STEPS = 60
VARIANTS = [(slot, name) for slot in registry.SLOTS for name in registry.names(slot)]


@pytest.fixture(autouse=True, scope="module")
def repeating() -> None:
    prepare_process(GPU)


def batches(seed: int = 0) -> Batches:
    return Batches(text(64), 32, 8, seed, GPU)


def trained(
    folder: Path, spec: Spec, precision: Precision = "fp32", kind: StepKind = "eager", **how: Any
) -> tuple[Training, dict[str, Tensor]]:
    model = make_model(spec, 0, precision).to(GPU)
    return train(model, batches(), RECIPE, STEPS, folder=folder, step_kind=kind, **how), weights_of(model)


def same(one: tuple[Training, dict[str, Tensor]], other: tuple[Training, dict[str, Tensor]]) -> bool:
    losses = torch.equal(one[0].losses, other[0].losses)
    return losses and all(torch.equal(tensor, other[1][name]) for name, tensor in one[1].items())


@pytest.mark.parametrize(("slot", "name"), VARIANTS)
def test_logits_and_gradients_are_those_of_the_cpu(slot: str, name: str) -> None:
    spec, found = spec_of(slot, name), []
    for device in ("cpu", GPU):
        model, x = Transformer(spec, seed=0).to(device).train(), tokens().to(device)
        loss = model.loss(x[:, :-1], x[:, 1:])
        loss.backward()
        gradients = [p.grad.cpu() for p in model.parameters() if p.grad is not None]
        found.append((loss.detach().cpu(), gradients))
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", SPECS)
def test_a_run_repeats_to_the_bit(tmp_path: Path, name: str, precision: Precision) -> None:
    one = trained(tmp_path / "one", SPECS[name], precision)
    assert same(one, trained(tmp_path / "two", SPECS[name], precision))
    assert one[0].status == "finished"


@pytest.mark.parametrize("kind", ["eager", "compiled"])
def test_a_stopped_run_ends_with_the_same_bits(tmp_path: Path, kind: StepKind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.train.trainer.CHECK_EVERY", 20)
    whole = trained(tmp_path / "whole", SPECS["modern"], kind=kind)
    stopped, _ = trained(tmp_path / "cut", SPECS["modern"], kind=kind, should_stop=lambda: True)
    assert stopped.status == "stopped"
    assert same(whole, trained(tmp_path / "cut", SPECS["modern"], kind=kind))


def test_compiled_steps_train_like_eager_ones(tmp_path: Path) -> None:
    eager, _ = trained(tmp_path / "eager", SPEC)
    compiled, _ = trained(tmp_path / "compiled", SPEC, kind="compiled")
    torch.testing.assert_close(compiled.losses, eager.losses, rtol=1e-3, atol=0)


def test_bf16_is_near_fp32(tmp_path: Path) -> None:
    for name, spec in SPECS.items():
        single, _ = trained(tmp_path / name / "fp32", spec)
        half, _ = trained(tmp_path / name / "bf16", spec, "bf16")
        torch.testing.assert_close(half.losses, single.losses, rtol=0.03, atol=0.03)


@pytest.mark.parametrize("bias", [False, True])
def test_grouped_experts_are_the_experts_one_by_one(bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bf16, where a GPU takes them at once. One layer: rounding in it might send a token elsewhere in the next."""
    spec = SPEC.replace(n_layers=1, ffn=Choice("moe"), bias=bias, d_model=128, d_ff=96)
    found = []
    for grouped in (True, False):
        model = make_model(spec, 0, "bf16").to(GPU).train()
        for block in model.layers:
            if not grouped:
                monkeypatch.setattr(block.ffn, "can_group", lambda tokens: False)
        x, y = batches().batch(0)
        loss = model.loss(x, y)
        loss.backward()
        found.append([loss.detach(), *(p.grad for p in model.parameters())])
    largest = max(other.abs().max().item() for other in found[1][1:])
    for one, other in zip(*found, strict=True):  # a bias of the keys has a gradient of rounding alone
        torch.testing.assert_close(one, other, rtol=2e-2, atol=max(2e-2 * other.abs().max().item(), 1e-3 * largest))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["baseline", "modern", "mixffn"])
def test_a_stack_trains_like_runs_apart(name: str, precision: Precision) -> None:
    """`compare_with_apart` raises where losses, gradients or buffers differ."""
    with quiet_vmap():
        compare_with_apart(SPECS[name], RECIPE, GPU, precision)


@pytest.mark.parametrize(("slot", "name"), VARIANTS)
def test_every_variant_is_stacked_or_refused_with_a_reason(slot: str, name: str) -> None:
    reason = stack_obstacle(spec_of(slot, name), Recipe(tokens_per_step=64), GPU)
    print(f"STACK {slot}={name}: {reason or 'carried'}")
    assert reason is None or "changes itself" in reason or "vmap cannot carry" in reason


def stacked(folder: Path, seeds: tuple[int, ...], **how: Any) -> list[tuple[Training, dict[str, Tensor]]]:
    models = [make_model(SPECS["modern"], seed, "fp32").to(GPU) for seed in seeds]
    data = StackedBatches(text(64), 32, 8, seeds, GPU)
    folders = [folder / str(seed) for seed in seeds]
    trainings = train_stack(models, data, RECIPE, STEPS, folders=folders, **how)
    return list(zip(trainings, map(weights_of, models), strict=True))


def test_the_bits_of_a_stacked_run_do_not_depend_on_the_others(tmp_path: Path) -> None:
    whole, turned = stacked(tmp_path / "1", (0, 1, 2, 3)), stacked(tmp_path / "2", (3, 2, 1, 0))
    few = stacked(tmp_path / "3", (2, 7), rows=4)
    assert all(same(whole[i], turned[3 - i]) for i in range(4))
    assert same(few[0], whole[2])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_graph_of_a_stack_trains_like_the_stack(precision: Precision) -> None:
    seeds, losses = (0, 1, 2), []
    data = StackedBatches(text(64), 32, 8, seeds, GPU)
    for compiled in (False, True):
        models = [make_model(SPECS["modern"], seed, precision).to(GPU).train() for seed in seeds]
        optimizers = [make_optimizer(model, RECIPE) for model in models]
        if compiled:
            step: Any = CompiledStack(models, optimizers, RECIPE, STEPS, 3, data.batch(0))
        else:
            step = Stack(models, optimizers, RECIPE, STEPS, 3)
        with quiet_vmap():
            losses.append(torch.stack([step(data.batch(i), i) for i in range(STEPS)]))
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-3 if precision == "fp32" else 3e-2, atol=0)


def test_a_graph_of_a_mixture_trains_like_its_steps() -> None:
    """A single run in bf16, whose tokens find their experts without a wait for the device."""
    losses = []
    for compiled in (False, True):
        model = make_model(SPECS["moe"], 0, "bf16").to(GPU).train()
        data, optimizer = StackedBatches(text(64), 32, 8, (0,), GPU), make_optimizer(model, RECIPE)
        if compiled:
            step: Any = CompiledStack([model], [optimizer], RECIPE, STEPS, 1, data.batch(0))
        else:
            step = Stack([model], [optimizer], RECIPE, STEPS, 1)
        losses.append(torch.stack([step(data.batch(i), i) for i in range(STEPS)]))
    torch.testing.assert_close(losses[1], losses[0], rtol=3e-2, atol=0)


@pytest.mark.parametrize("softcap", [None, 5.0])
def test_sliced_cross_entropy_is_that_of_the_cpu(softcap: float | None) -> None:
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(n, 16, generator=generator) for n in (20, 300))
    targets, found = torch.randint(300, (20,), generator=generator), []
    for device in ("cpu", GPU):
        here, matrix = (tensor.detach().to(device).requires_grad_() for tensor in (x, weight))
        loss = sliced_cross_entropy(here, matrix, targets.to(device), softcap, 7 * 300)
        found.append([tensor.cpu() for tensor in (loss.detach(), *torch.autograd.grad(loss, (here, matrix)))])
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", SPECS)
def test_cached_decoding_writes_what_the_whole_text_gives(name: str) -> None:
    model = Transformer(SPECS[name], seed=0).to(GPU).eval()
    prompts = [[1, 2, 3], [4, 5]]
    for prompt, new in zip(prompts, generate(model, prompts, 24), strict=True):
        written = list(prompt)
        with torch.inference_mode():
            for token in new:
                assert model(torch.tensor([written], device=GPU))[0, -1].argmax().item() == token
                written.append(token)
