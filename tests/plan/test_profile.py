"""Every registered variant: the FLOPs it declares are those that torch executes, forward and backward."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from harness.plan.ledger import count
from harness.plan.profile import OperationCounter, declared, profile
from harness.spec.presets import PRESETS
from harness.spec.sizes import resize
from harness.spec.spec import Choice, Spec, choose
from variants import registry

SMALL = Spec(n_layers=2, d_model=32, n_heads=4, d_ff=48, seq_len=12, vocab_size=61)

ASKED_FOR = {"expert_choice": choose("expert_choice", leaks=True)}
"""Variants that are refused unless an option says that they are wanted."""

VARIANTS = [(slot, name) for slot in registry.SLOTS for name in registry.names(slot)]


def named(name: str) -> Choice:
    return ASKED_FOR.get(name, Choice(name))


def assert_counted(spec: Spec) -> None:
    flops, tokens = count(spec).flops, spec.seq_len
    executed = profile(spec, batch_size=1)  # one text, for position=fire computes its bias once a pass
    assert executed.conv_forward in (0.0, flops.conv * tokens)
    expected = declared(flops, conv=executed.conv_forward > 0) * tokens
    assert executed.forward == expected
    assert executed.backward == 2 * expected


@pytest.mark.parametrize(("slot", "name"), VARIANTS, ids=[f"{slot}={name}" for slot, name in VARIANTS])
def test_declared_flops_are_executed_flops(slot: str, name: str) -> None:
    assert_counted(SMALL.replace(**{slot: named(name)}))


@pytest.mark.parametrize("name", registry.names("ffn"))
@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
def test_every_ffn_with_and_without_a_gate(name: str, activation: str) -> None:
    assert_counted(SMALL.replace(ffn=named(name), activation=Choice(activation), bias=False))


@pytest.mark.parametrize("name", registry.names("attention"))
@pytest.mark.parametrize("position", ["rope", "alibi"])
def test_every_attention_with_a_rotation_and_with_a_bias(name: str, position: str) -> None:
    assert_counted(SMALL.replace(attention=Choice(name), position=Choice(position)))


@pytest.mark.parametrize("name", PRESETS)
def test_presets_at_a_small_size(name: str) -> None:
    spec = resize(PRESETS[name].spec, "3x32", heads=4, seq_len=12).replace(vocab_size=61)
    assert_counted(spec)


def test_depthwise_convolution_and_its_backward() -> None:
    x = torch.randn(2, 6, 10, requires_grad=True)
    weight = torch.randn(6, 1, 3, requires_grad=True)
    with OperationCounter() as counter:
        y = F.conv1d(x, weight, padding=1, groups=6)
    assert counter.total == 2 * 3 * 6 * 10 * 2
    with OperationCounter() as counter:
        y.sum().backward()
    assert counter.total == 2 * (2 * 3 * 6 * 10 * 2)


def test_grouped_product_and_its_backward() -> None:
    x = torch.randn(7, 8, requires_grad=True)
    weight = torch.randn(3, 8, 16, requires_grad=True)
    with OperationCounter() as counter:
        y = F.grouped_mm(x, weight, offs=torch.tensor([2, 2, 7], dtype=torch.int32))
    assert counter.total == 2 * 7 * 8 * 16
    with OperationCounter() as counter:
        (y * torch.randn(7, 16)).sum().backward()
    assert counter.total == 2 * (2 * 7 * 8 * 16)


def test_an_unknown_product_is_not_missed() -> None:
    with pytest.raises(NotImplementedError, match="no formula"), OperationCounter():
        torch.addmv(torch.zeros(2), torch.zeros(2, 3), torch.zeros(3))
