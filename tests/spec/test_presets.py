"""Presets are plain data, have the published rounded sizes, run, and keep their shape when scaled down."""

from __future__ import annotations

import inspect

import pytest
import torch

from harness.model.transformer import Transformer
from harness.plan.ledger import count
from harness.spec.presets import PRESETS, preset
from harness.spec.sizes import resize
from harness.spec.spec import Spec
from variants import registry
from variants.errors import UserError

ROUNDED = {  # where only a rounded figure is published: (total, active), in the unit of the last digit given
    "gpt3": (175e9, 175e9, 1e9),  # arXiv:2005.14165, table 2.1: 175.0B
    "minimind2-small": (26e6, 26e6, 1e6),  # README: 26M
    "minimind2": (104e6, 104e6, 1e6),  # 104M
    "minimind2-moe": (145e6, None, 1e6),  # 145M
    "glam": (1.2e12, 96.6e9, 1e11),  # arXiv:2112.06905, table 4
}


@pytest.mark.parametrize("name", ROUNDED)
def test_count_rounds_to_the_published_one(name: str) -> None:
    total, active, unit = ROUNDED[name]
    ledger = count(preset(name))
    assert abs(ledger.total_params - total) <= unit
    if active is not None:
        assert abs(ledger.active_params - active) <= (0.05e9 if name == "glam" else unit)


def test_active_parameters_of_mixtral_and_deepseek() -> None:
    # Mixtral: "13B active" (arXiv:2401.04088); DeepSeek-V2: 21B; V3: 37B (arXiv:2412.19437)
    assert round(count(preset("mixtral-8x7b")).active_params / 1e9) == 13
    assert round(count(preset("deepseek-v2")).active_params / 1e9) == 21
    assert round(count(preset("deepseek-v3")).active_params / 1e9) in (37, 38)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_plain_data(name: str) -> None:
    spec = preset(name)
    assert Spec.from_json(spec.to_json()) == spec
    assert Spec.from_json(spec.to_json()).digest() == spec.digest()
    assert hash(spec) == hash(Spec.from_json(spec.to_json()))
    assert len(PRESETS[name].source) > 20


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_leaves_defaults_out(name: str) -> None:
    spec = preset(name)
    choices = [(slot, spec.choice(slot)) for slot in registry.SLOTS]
    choices += [pair for rule in spec.layer_rules for pair in rule.choices]
    for slot, choice in choices:
        known = registry.options(slot, choice.variant)
        for option, value in choice.options:
            assert known[option].default is inspect.Parameter.empty or known[option].default != value


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_scaled_down_runs(name: str) -> None:
    spec = resize(preset(name), None, seq_len=16).replace(vocab_size=31)
    model = Transformer(spec, seed=0)
    tokens = torch.randint(31, (2, 17), generator=torch.Generator().manual_seed(0))
    loss = model.loss(tokens[:, :-1], tokens[:, 1:]) + model.auxiliary_loss()
    loss.backward()
    assert torch.isfinite(loss)
    assert (spec.n_layers, spec.d_model) == (2, 48)


def test_the_default_baseline_is_the_default_spec() -> None:
    assert resize(preset("gpt2"), None).replace(vocab_size=Spec().vocab_size) == Spec()
    assert resize(preset("gpt2"), "small", seq_len=1024) == preset("gpt2")


def test_scaling_keeps_the_shape_family() -> None:
    llama = resize(preset("llama-3.1-8b"), "4x384", heads=12)
    assert dict(llama.attention.options) == {"n_kv_heads": 3}
    assert llama.d_ff == 384 * 14_336 // 4096
    assert dict(llama.position.options) == {"theta": 500_000.0}

    gemma = resize(preset("gemma-2-2b"), "4x288", heads=4, seq_len=128)
    assert [gemma.layer(i).attention.variant for i in range(4)] == ["window", "gqa", "window", "gqa"]
    assert dict(gemma.layer(0).attention.options)["window"] == 64
    assert gemma.embedding_scale == pytest.approx(288**0.5)
    assert gemma.d_head == 64

    deepseek = resize(preset("deepseek-v3"), "6x384", heads=6)
    assert [deepseek.layer(i).ffn.variant for i in range(3)] == ["dense", "deepseek_v3", "deepseek_v3"]
    assert deepseek.layer(0).d_ff == pytest.approx(9 * (deepseek.d_ff or 0), rel=0.03)
    assert dict(deepseek.ffn.options)["num_experts"] == 256

    glam = resize(preset("glam"), "4x96")
    assert [glam.layer(i).ffn.variant for i in range(4)] == ["dense", "mixtral", "dense", "mixtral"]
    assert glam.d_head == 2 * 96 // glam.n_heads


def test_its_own_size_gives_the_preset_back() -> None:
    for name in PRESETS:
        spec = preset(name)
        assert resize(spec, f"{spec.n_layers}x{spec.d_model}", seq_len=spec.seq_len) == spec


def test_an_unknown_preset_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'gemma-2-2b'"):
        preset("gemma2-2b")
