"""What a stack carries is found by trying, and what it does not carry is refused with a reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from harness.spec.recipe import Recipe
from harness.spec.spec import Choice, Spec
from harness.train.stackable import ROWS, StackChoice, choose_stack, stack_obstacle
from variants import registry

SPEC = Spec(n_layers=1, d_model=16, n_heads=2, d_ff=32, seq_len=8, vocab_size=32)
RECIPE = Recipe(tokens_per_step=32)
CPU = torch.device("cpu")
MIXTURES = {"moe", "switch", "mixtral", "olmoe", "deepseek", "deepseek_v3"}


@pytest.mark.parametrize(
    ("slot", "variant"), [(slot, name) for slot in registry.SLOTS for name in registry.names(slot)]
)
def test_every_variant_is_carried_or_refused_with_a_reason(slot: str, variant: str) -> None:
    options = (("leaks", True),) if variant == "expert_choice" else ()
    reason = stack_obstacle(SPEC.replace(**{slot: Choice(variant, options)}), RECIPE, CPU)
    assert (reason is not None) == (variant in MIXTURES), reason
    assert reason is None or "changes itself" in reason or "vmap cannot carry" in reason


@pytest.mark.parametrize("variant", sorted(MIXTURES - {"deepseek_v3"}))
def test_a_stack_of_one_row_carries_what_vmap_cannot(variant: str) -> None:
    assert stack_obstacle(SPEC.replace(ffn=Choice(variant)), RECIPE, CPU, rows=1) is None


def test_bf16_is_carried() -> None:
    assert stack_obstacle(SPEC, RECIPE, CPU, "bf16") is None


@pytest.fixture
def odd_activation() -> Iterator[type[nn.Module]]:
    """A registered activation whose forward a test may replace."""
    activation = registry.get("activation", "relu")
    forward = activation.forward
    yield activation
    activation.forward = forward  # pyright: ignore


ODD = SPEC.replace(activation=Choice("relu"))


def test_a_value_that_is_read_is_refused(odd_activation: type[nn.Module]) -> None:
    odd_activation.forward = lambda self, up: up.relu() if up.sum() > 0 else up  # pyright: ignore
    assert "vmap cannot carry" in str(stack_obstacle(ODD, RECIPE, CPU))


def test_a_number_that_changes_is_refused(odd_activation: type[nn.Module]) -> None:
    def forward(self: nn.Module, up: Tensor) -> Tensor:
        self.calls = getattr(self, "calls", 0) + 1  # pyright: ignore
        return up.relu()

    odd_activation.forward = forward  # pyright: ignore
    assert "numbers change between steps" in str(stack_obstacle(ODD, RECIPE, CPU))


def test_a_tensor_of_one_seed_is_refused(odd_activation: type[nn.Module]) -> None:
    """A plain tensor, neither parameter nor buffer, that differs by seed: the stack has that of its first run."""
    scale = {}

    def forward(self: nn.Module, up: Tensor) -> Tensor:
        if not hasattr(self, "own"):
            self.own = 1.0 + scale.setdefault(id(self), len(scale))  # pyright: ignore
        return up.relu() * torch.tensor(self.own)  # pyright: ignore

    odd_activation.forward = forward  # pyright: ignore
    assert stack_obstacle(ODD, RECIPE, CPU) is not None


def test_the_rule() -> None:
    assert choose_stack("off", "cuda", []).rows is None
    assert choose_stack("auto", "cpu", []).rows is None
    assert choose_stack("auto", "cuda", []) == StackChoice(ROWS, "--stack auto")
    assert choose_stack(4, "cpu", []) == StackChoice(4, "--stack 4")
    refused = choose_stack(4, "cuda", ["its forward reads a value"])
    assert refused.rows is None
    assert "its forward reads a value" in refused.reason
