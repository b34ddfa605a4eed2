"""Ranges of a search: what is understood, and what each mistake is told."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.spec.presets import preset
from harness.spec.space import Choices, Range, parse_choices, parse_space
from harness.spec.spec import Spec
from variants.errors import UserError

GPT2: Spec = preset("gpt2")


def test_choices() -> None:
    assert parse_choices(["norm=layer,rms,layer", "ffn.bias=true"]) == [
        Choices("norm", ("layer", "rms")),
        Choices("ffn.bias", ("true",)),
    ]
    for tokens in (["norm"], ["norm="], ["=rms"], ["norm=a", "norm=b"]):
        with pytest.raises(UserError):
            parse_choices(tokens)


def test_ranges_of_recipe_option_and_model() -> None:
    moe = parse_choices(["ffn=dense,moe"])
    found = parse_space("lr=1e-4:1e-2:log, ffn.num_experts=4:16", GPT2, moe)
    assert found == [Range("lr", "float", 1e-4, 1e-2, True), Range("ffn.num_experts", "int", 4, 16, False)]
    assert parse_space("", GPT2, []) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr", "takes name=low:high"),
        ("lr=1e-4", "takes name=low:high"),
        ("lr=1e-4:1e-2:exp", "takes name=low:high"),
        ("lr=1e-2:1e-4", "low below high"),
        ("lr=0:1:log", "above 0"),
        ("lr=a:b", "takes numbers"),
        ("lr=1e-4:inf", "two finite ends"),
        ("lr=nan:1", "low below high"),
        ("schedule=cosine:wsd", "unknown name 'schedule'"),
        ("warmup_steps=1:5", "did you mean 'warmup'"),
        ("learning=1:2", "unknown name 'learning'"),
        ("warmpu=0:0.5", "did you mean 'warmup'"),
        ("ffn.num_experts=4.5:8", "whole numbers"),
        ("ffn.num_expert=4:8", "did you mean 'num_experts'"),
        ("fnn.num_experts=4:8", "unknown slot 'fnn'; did you mean 'ffn'"),
        ("norm.eps=1e-6:1e-5,norm.eps=1:2", "a second time"),
    ],
)
def test_what_a_mistake_is_told(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_space(text, GPT2, parse_choices(["ffn=moe"]))


PIECES = ["lr", "=", ":", ",", "log", ".", "ffn", "model", "num_experts", "1", "e", "-", "0", "inf", "nan", " ", "\0"]


@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join))
def test_any_text_is_ranges_or_a_sentence(text: str) -> None:
    with contextlib.suppress(UserError):
        assert all(-math.inf < r.low < r.high < math.inf for r in parse_space(text, GPT2, parse_choices(["ffn=moe"])))


def test_an_option_of_a_variant_that_is_not_chosen_is_refused() -> None:
    with pytest.raises(UserError, match="ffn=dense has no option 'num_experts'"):
        parse_space("ffn.num_experts=4:8", GPT2, [])
