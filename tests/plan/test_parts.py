"""A count of remembered parts is a count of the model itself, and arms that share a part build it once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
import torch
from torch import nn

from harness.plan import parts as room
from harness.plan.audit import tensors_of
from harness.plan.decode import cache_cost
from harness.plan.ledger import count, forget
from harness.plan.match import match_arm, plan_baseline
from harness.plan.part_cost import decode_flops, own_flops
from harness.plan.skeleton import skeleton
from harness.spec.presets import PRESETS
from harness.spec.sizes import resize
from harness.spec.spec import Choice, Spec, choose
from harness.spec.tokens import Arm, parse_arms
from harness.train.optimizer import parameter_groups
from variants import registry
from variants.errors import UserError

VARIANTS = [(slot, name) for slot in registry.SLOTS for name in registry.names(slot)]


def check(spec: Spec) -> None:
    """The ledger and the audit's tensors against the transformer's own modules."""
    ledger, model = count(spec), skeleton(spec)
    inside = {name: module for name, module in model.named_modules() if name}
    assert [m.name for m in ledger.modules] == list(inside)
    for cost in ledger.modules:
        assert cost.flops == own_flops(inside[cost.name], cost.name, spec.seq_len)
    named = dict(model.named_parameters())
    assert ledger.total_params == sum(p.numel() for p in named.values())
    idle = (cast("Any", module).idle_params() for module in inside.values() if hasattr(module, "idle_params"))
    assert ledger.active_params == ledger.total_params - sum(idle)
    found = tensors_of(spec, parameter_groups)
    assert {name: tensors.shape for name, tensors in found.items()} == {n: tuple(p.shape) for n, p in named.items()}
    assert [n for n, tensors in found.items() if tensors.decays] == [n for n, _ in parameter_groups(model)[0]]
    try:
        cache = cache_cost(model, spec.seq_len)
    except UserError:
        cache = None
    assert ledger.cache == cache
    assert ledger.decode_flops_per_token == (None if cache is None else decode_flops(model, spec.seq_len))


@pytest.mark.parametrize(("slot", "name"), VARIANTS)
def test_every_variant_is_counted_as_in_its_model(slot: str, name: str) -> None:
    choice = choose(name, leaks=True) if name == "expert_choice" else Choice(name)
    check(Spec(d_ff=100).replace(**{slot: choice}))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_counted_as_in_its_model(name: str) -> None:
    """Layers that differ, untied heads and models without a last norm are among them."""
    check(resize(PRESETS[name].spec, "5x32", heads=4, seq_len=12))


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[nn.Module]]:
    """What is built from here on, with nothing remembered from before."""
    made: list[nn.Module] = []

    def on_meta(make: Any) -> nn.Module:
        with torch.device("meta"):
            made.append(make())
        return made[-1]

    monkeypatch.setattr(room, "on_meta", on_meta)
    forget()
    yield made
    forget()


def test_crossed_arms_build_the_sum_of_their_parts_and_not_the_product(built: list[nn.Module]) -> None:
    """Or 1,250 arms would be 1,250 models."""
    norms, activations, positions = ("layer", "rms", "crms"), ("gelu", "relu", "silu", "glu"), ("learned", "rope")
    tokens = [
        f"{slot}={','.join(names)}"
        for slot, names in zip(registry.SLOTS, (norms, activations, positions), strict=False)
    ]
    first = plan_baseline(Arm("gpt2", Spec()), 512, num_steps=100)
    arms = [match_arm(arm, first, "tokens") for arm in parse_arms(tokens, Spec())]
    assert len(arms) == 3 * 4 * 2 - 1
    shared = ["embedding", "head"]
    assert len(built) == len(shared) + 3 * len(norms) + len(activations) + len(
        positions
    )  # attention, residual, last norm


def test_another_class_of_the_same_name_is_another_part(monkeypatch: pytest.MonkeyPatch) -> None:
    before = count(Spec(norm=Choice("rms")))

    class Wider(registry.get("norm", "rms")):
        def __init__(self, size: int, **options: Any) -> None:
            super().__init__(size, **options)
            self.more = nn.Parameter(torch.ones(size))

    monkeypatch.setitem(registry._registered, ("norm", "rms"), Wider)
    count.cache_clear()
    assert count(Spec(norm=Choice("rms"))).total_params == before.total_params + 5 * 48
    count.cache_clear()
