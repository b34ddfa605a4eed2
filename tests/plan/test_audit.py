"""The audit finds what differs between two arms, and nothing else."""

from __future__ import annotations

import json

import pytest
import torch

from harness.model.transformer import Transformer
from harness.plan.audit import audit, tensors_of
from harness.spec.spec import Choice, Spec, choose
from harness.train.optimizer import parameter_groups
from variants import registry

BASELINE = Spec(seq_len=16, d_ff=192)


def test_an_arm_does_not_differ_from_itself() -> None:
    same = audit(BASELINE, BASELINE, parameter_groups)
    assert not same.choices
    assert not same.parameters
    assert not same.params_by_role
    assert not same.flops_by_kind
    assert not same.operators
    assert same.shared == sum(p.numel() for p in Transformer(BASELINE, seed=0).parameters())


def test_a_norm_differs_in_its_shift_and_its_kernel() -> None:
    found = audit(BASELINE, BASELINE.replace(norm=Choice("rms")), parameter_groups)
    assert found.choices == {"norm": ["layer", "rms"]}
    assert set(found.parameters) == {
        f"layers.{i}.residual.{n}_norm.bias" for i in range(2) for n in ("attention", "ffn")
    } | {"final_norm.bias"}
    assert found.params_by_role["vector"][0] - found.params_by_role["vector"][1] == 5 * 48
    assert found.biases[0] - found.biases[1] == 5
    assert set(found.flops_by_kind) == {"norm"}
    assert found.operators is not None
    assert "native_layer_norm" in found.operators


def test_a_gated_ffn_differs_in_shapes_and_start() -> None:
    found = audit(BASELINE, BASELINE.replace(activation=Choice("swiglu"), d_ff=128), parameter_groups)
    assert found.choices == {"activation": ["gelu", "swiglu"], "d_ff": [192, 128]}
    before, after = found.parameters["layers.0.ffn.down.weight"]
    assert (before["shape"], after["shape"]) == ([48, 192], [48, 128])
    assert before["start"] != after["start"]
    assert found.parameters["layers.1.ffn.gate.weight"][0] is None
    assert "layers.0.attention.q.weight" not in found.parameters


def test_decay_and_bias_are_seen() -> None:
    found = audit(BASELINE, BASELINE.replace(bias=False, tied_head=False), parameter_groups)
    assert found.choices == {"tied_head": [True, False], "bias": [True, False]}
    assert found.decayed_params[1] - found.decayed_params[0] == 257 * 48
    assert found.biases == [17, 5]


def test_it_is_plain_data() -> None:
    found = audit(BASELINE, BASELINE.replace(ffn=choose("mixtral", num_experts=4)), parameter_groups)
    assert json.loads(json.dumps(found.to_json()))["choices"]["ffn"] == ["dense", "mixtral"]
    assert set(found.params_by_role) >= {"router", "input", "output"}


@pytest.mark.parametrize(("slot", "name"), [(s, n) for s in registry.SLOTS for n in registry.names(s)])
def test_every_variant_can_be_audited(slot: str, name: str) -> None:
    choice = choose(name, leaks=True) if name == "expert_choice" else Choice(name)
    found = audit(BASELINE, BASELINE.replace(**{slot: choice}), parameter_groups)
    assert json.dumps(found.to_json())


def test_the_stated_start_is_the_drawn_one() -> None:
    spec = Spec(d_model=96, n_heads=3, ffn=Choice("mixtral"), tied_head=False)
    model = Transformer(spec, seed=0)
    for name, tensor in tensors_of(spec, parameter_groups).items():
        if tensor.start.startswith("N("):
            stated = float(tensor.start.removeprefix("N(0, ").removesuffix("^2)"))
            drawn = model.get_parameter(name).std().item()
            assert drawn == pytest.approx(stated, rel=0.15), name
        assert torch.Size(tensor.shape) == model.get_parameter(name).shape
