"""Tokens become specs: joint arms, crosses, typed options, sentences for everything wrong."""

from __future__ import annotations

import pytest

from harness.spec.spec import Choice, Spec
from harness.spec.tokens import parse_arms
from variants.errors import UserError

BASELINE = Spec()


def names(*tokens: str) -> list[str]:
    return [arm.name for arm in parse_arms(tokens, BASELINE)]


def test_tokens_join_and_commas_cross() -> None:
    assert names("norm=rms", "activation=swiglu") == ["norm=rms activation=swiglu"]
    assert names("norm=rms,layer") == ["norm=rms"]
    assert names("norm=rms,layer", "activation=relu,swiglu") == [
        "norm=rms activation=relu",
        "norm=rms activation=swiglu",
        "activation=relu",
        "activation=swiglu",
    ]
    assert names("norm=layer") == []


def test_options_are_typed_and_defaults_vanish() -> None:
    (arm,) = parse_arms(["ffn=moe", "ffn.num_experts=16", "ffn.balance=1e-3", "ffn.top_k=2"], BASELINE)
    assert arm.spec.ffn == Choice("moe", (("balance", 1e-3), ("num_experts", 16)))
    assert arm.name == "ffn=moe ffn.balance=0.001 ffn.num_experts=16"


def test_options_cross_and_go_to_the_variants_that_have_them() -> None:
    assert names("ffn=dense,moe", "ffn.num_experts=4,8") == ["ffn=moe ffn.num_experts=4", "ffn=moe"]


def test_an_option_of_the_baselines_own_variant_is_an_arm() -> None:
    assert names("norm.eps=0.001") == ["norm.eps=0.001"]


def test_model_options() -> None:
    (arm,) = parse_arms(["model.bias=false"], BASELINE)
    assert arm.spec == BASELINE.replace(bias=False)
    with pytest.raises(UserError, match="did you mean 'bias'"):
        names("model.bais=false")


def test_specs_survive_json() -> None:
    (arm,) = parse_arms(["ffn=moe", "ffn.num_experts=16", "position=rope"], BASELINE)
    again = Spec.from_json(arm.spec.to_json())
    assert again == arm.spec
    assert again.digest() == arm.spec.digest() != BASELINE.digest()


@pytest.mark.parametrize(
    "token", ["norm", "=rms", "norm=", "norm=rms,", "norm=../rms", "norm=_x", "norm.eps", "a.b.c=1"]
)
def test_malformed_tokens(token: str) -> None:
    with pytest.raises(UserError):
        names(token)
