"""Layers that differ: which rule covers which layer, what tokens do to them, how they become data."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.model.transformer import Transformer
from harness.plan.ledger import count
from harness.spec.spec import Choice, LayerRule, Spec, choose, layer_rule
from harness.spec.tokens import parse_arms

ALTERNATING = Spec(n_layers=4, layer_rules=(layer_rule(step=2, ffn=Choice("mixffn"), d_ff=96),))


def test_rules_cover_the_layers_they_name() -> None:
    assert [LayerRule(stop=3).covers(i) for i in range(5)] == [True, True, True, False, False]
    assert [LayerRule(step=2).covers(i) for i in range(5)] == [True, False, True, False, True]
    assert [LayerRule(start=1, step=2).covers(i) for i in range(5)] == [False, True, False, True, False]


@given(st.integers(0, 8), st.none() | st.integers(0, 12), st.integers(1, 4))
def test_covers_is_a_range(start: int, stop: int | None, step: int) -> None:
    covered = [i for i in range(12) if LayerRule(start, stop, step).covers(i)]
    assert covered == list(range(start, 12 if stop is None else stop, step))


def test_a_layer_takes_the_rules_choices_and_width() -> None:
    assert [ALTERNATING.layer(i).ffn.variant for i in range(4)] == ["mixffn", "dense", "mixffn", "dense"]
    assert [ALTERNATING.layer(i).d_ff for i in range(4)] == [96, None, 96, None]
    assert sum(ALTERNATING.layer_counts().values()) == 4
    assert len(ALTERNATING.layer_counts()) == 2


def test_later_rules_win() -> None:
    spec = Spec(n_layers=3, layer_rules=(layer_rule(d_ff=8), layer_rule(stop=1, d_ff=16)))
    assert [spec.layer(i).d_ff for i in range(3)] == [16, 8, 8]


def test_the_model_follows_the_rules() -> None:
    model = Transformer(ALTERNATING, seed=0)
    assert [type(layer.ffn).__name__ for layer in model.layers] == ["MixFFN", "Dense", "MixFFN", "Dense"]
    assert model.get_parameter("layers.0.ffn.up.weight").shape == (96, 48)
    assert model.get_parameter("layers.1.ffn.up.weight").shape == (192, 48)


def test_the_matcher_leaves_ruled_widths_alone() -> None:
    widened = ALTERNATING.replace(d_ff=200)
    assert [widened.layer(i).d_ff for i in range(4)] == [96, 200, 96, 200]
    narrow, wide, wider = (count(ALTERNATING.replace(d_ff=n)).total_params for n in (64, 128, 192))
    assert wider - wide == wide - narrow  # affine in d_ff, which the matcher relies on


def test_rules_survive_json() -> None:
    spec = ALTERNATING.replace(layer_rules=(*ALTERNATING.layer_rules, layer_rule(1, 2, d_ff=8, norm=Choice("rms"))))
    assert Spec.from_json(spec.to_json()) == spec
    assert spec.digest() != ALTERNATING.digest()


def test_tokens_change_the_spec_and_leave_ruled_layers() -> None:
    (arm,) = parse_arms(["ffn=moe"], ALTERNATING)
    assert [arm.spec.layer(i).ffn.variant for i in range(4)] == ["mixffn", "moe", "mixffn", "moe"]
    assert arm.name == "ffn=moe"


def test_an_option_reaches_the_ruled_layers_that_have_it() -> None:
    spec = Spec(attention=choose("gqa", n_kv_heads=1), layer_rules=(layer_rule(step=2, attention=Choice("window")),))
    (arm,) = parse_arms(["attention.softcap=50"], spec)
    assert [dict(arm.spec.layer(i).attention.options)["softcap"] for i in range(2)] == [50.0, 50.0]
    (arm,) = parse_arms(["attention.window=7"], spec)
    assert dict(arm.spec.layer(0).attention.options) == {"window": 7}
    assert dict(arm.spec.layer(1).attention.options) == {"n_kv_heads": 1}
    assert arm.name


def test_variants_include_those_of_the_rules() -> None:
    assert ("ffn", "mixffn") in ALTERNATING.variants()
    assert ("ffn", "dense") in ALTERNATING.variants()


def test_initial_values_do_not_depend_on_the_rules() -> None:
    plain = Transformer(Spec(n_layers=4), seed=0).state_dict()
    ruled = Transformer(ALTERNATING, seed=0).state_dict()
    shared = [n for n in plain if n in ruled and plain[n].shape == ruled[n].shape]
    assert "layers.1.ffn.up.weight" in shared
    assert all(torch.equal(plain[n], ruled[n]) for n in shared)
