"""Time by kind of a profile written by hand, and the ranges that a real model gets."""

from __future__ import annotations

import pytest
import torch

from harness.model.transformer import Transformer
from harness.score.profiler.kinds import BACKWARD, KINDS, MIXTURE, RANGE, Event, kinds_of, time_by_kind
from harness.score.profiler.ranges import kind_ranges, label_of
from harness.spec.spec import Choice, Spec, choose

SMALL = Spec(n_layers=2, d_model=16, n_heads=2, seq_len=8, d_ff=32)

STEP = [
    Event("ProfilerStep#1", 100.0),
    Event(f"{RANGE}attention", 50.0, parent=0),
    Event(f"{RANGE}matmul", 50.0, parent=1),
    Event("aten::linear", 1.0, parent=2, sequence=10),
    Event("aten::addmm", 4.0, parent=3, sequence=10),
    Event("aten::bmm", 2.0, parent=1, sequence=11),  # a product in attention is attention's
    Event(f"{RANGE}norm", 50.0, parent=1),
    Event("aten::mul", 8.0, parent=6, sequence=12),
    Event(f"{RANGE}{MIXTURE}", 50.0, parent=0),
    Event("aten::sort", 16.0, parent=8),
    Event("aten::mm", 32.0, parent=8, sequence=13),
    Event(f"{RANGE}router", 50.0, parent=8),
    Event("aten::mm", 64.0, parent=11, sequence=14),
    Event("aten::add", 128.0, parent=0, sequence=15),
    Event(f"{BACKWARD}MulBackward0", 256.0, parent=0, sequence=12, forward_thread=0),
    Event("MulBackward0", 512.0, parent=14, sequence=12, forward_thread=0),
    Event("aten::mul", 1024.0, parent=15),
    Event(f"{BACKWARD}torch::autograd::AccumulateGrad", 2048.0, parent=0),
    Event("aten::_foreach_norm", 4096.0, parent=0),
    Event("Optimizer.step#AdamW.step", 50.0, parent=0),
    Event("aten::_fused_adamw_", 8192.0, parent=19),
]


def test_every_second_goes_where_it_belongs() -> None:
    assert time_by_kind(STEP) == {
        "matmul": 1.0 + 4 + 32,
        "attention": 2.0,
        "norm": 8.0 + 256 + 512 + 1024,
        "activation": 0.0,
        "conv": 0.0,
        "router": 16.0 + 64,
        "optimizer": 4096.0 + 8192,
        "other": 128.0 + 2048,
    }


def test_a_shared_sequence_number_belongs_to_the_last_to_start() -> None:
    events = [
        Event(f"{RANGE}activation", 0.0),
        Event("aten::detach", 1.0, parent=0, sequence=3),  # makes no node
        Event(f"{RANGE}norm", 0.0),
        Event("aten::mul", 1.0, parent=2, sequence=3),
        Event(f"{BACKWARD}MulBackward0", 1.0, sequence=3, thread=1, forward_thread=0),
        Event(f"{BACKWARD}MulBackward0", 1.0, sequence=3, thread=1, forward_thread=9),  # another thread's
    ]
    assert kinds_of(events)[-2:] == ["norm", "other"]


def test_nothing_takes_no_time() -> None:
    assert time_by_kind([]) == dict.fromkeys(KINDS, 0.0)


def test_modules_have_the_kind_they_are_for() -> None:
    spec = SMALL.replace(ffn=choose("moe", num_experts=4), norm=Choice("rms"), activation=Choice("swiglu"))
    model = Transformer(spec, seed=0)
    labels = {name: label_of(model, name, module) for name, module in model.named_modules()}
    assert labels["layers.0.attention"] == "attention"
    assert labels["layers.0.attention.q"] == "matmul"
    assert labels["layers.1.ffn"] == MIXTURE
    assert labels["layers.1.ffn.router"] == "router"
    assert labels["layers.1.ffn.activation"] == "activation"
    assert labels["final_norm"] == "norm"
    assert labels["head"] == "matmul"
    assert labels["embedding"] is labels["layers.0.residual"] is labels[""] is None
    conv = Transformer(SMALL.replace(ffn=Choice("mixffn")), seed=0)
    assert label_of(conv, "layers.0.ffn.conv", conv.get_submodule("layers.0.ffn.conv")) == "conv"


@pytest.mark.parametrize("ffn", ["dense", "moe"])
def test_ranges_change_nothing_and_go_away(ffn: str) -> None:
    model = Transformer(SMALL.replace(ffn=Choice(ffn), position=Choice("rope")), seed=0)
    tokens = torch.arange(8)[None]
    before = model(tokens)
    with kind_ranges(model):
        assert torch.equal(model(tokens), before)
    with pytest.raises(RuntimeError, match="stop"), kind_ranges(model):
        raise RuntimeError("stop")
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert "forward" not in module.__dict__
        assert "encode" not in module.__dict__
        assert "route" not in module.__dict__
