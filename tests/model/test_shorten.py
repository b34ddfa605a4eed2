"""Shorter forms against the formulas of what they stand for, in fp64, and only where they may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.model.replay import Step
from harness.model.shorten import shorten
from harness.model.tape import TOKEN, Call, Tape
from harness.model.transformer import Transformer
from harness.spec.spec import Spec, choose


def taped(function: Callable[[Tensor], Tensor], x: Tensor) -> list[Call]:
    with Tape([(x, TOKEN)]) as tape:
        function(x)
    return tape.calls


def short(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[list[str], Tensor]:
    """What is called in place of a function of a row that is made of x, and its result."""
    calls = taped(lambda x: function(x + 0.0), x)
    result, made = calls[-1].result, {}

    def given(value: Any) -> Any:
        return tuple(map(given, value)) if isinstance(value, tuple | list) else made.get(id(value), value)

    names = []
    for call in shorten(calls, result):
        made[id(call.result)] = call.func(*given(call.args), **call.kwargs)
        names.append(call.name)
    return names[1:], made[id(result)]


@pytest.mark.parametrize("size", [2, 48, 96, 1000])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_norm_is_its_formula(size: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(size)
    x, weight = torch.randn(1, 1, size, generator=generator) * scale, torch.randn(size, generator=generator)
    names, found = short(lambda x: F.rms_norm(x, (size,), weight=weight, eps=1e-6), x)
    assert names == ["reshape", "mul", "layer_norm", "select", "reshape"]
    exact = x.double() * (x.double().square().mean() + 1e-6).rsqrt() * weight.double()
    torch.testing.assert_close(found.double(), exact, rtol=2e-6, atol=2e-6)


WEIGHT, BIAS, GAIN = torch.randn(6, 8), torch.randn(6), torch.randn(8)


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (lambda x: F.linear(x, WEIGHT), "reshape mv reshape"),
        (lambda x: F.linear(x, WEIGHT, BIAS), "reshape addmv reshape"),
        (lambda x: F.layer_norm(x, (8,), GAIN, GAIN), "reshape layer_norm reshape"),
        (lambda x: F.silu(F.linear(x, WEIGHT)) * F.linear(x, WEIGHT, BIAS) + BIAS,
         "reshape mv silu addmv mul add reshape"),
        (lambda x: F.linear(x, WEIGHT).view(1, 2, 1, 3).flip(1).reshape(1, 1, -1) * 2.0,
         "reshape mv view flip reshape mul reshape"),
        (lambda x: F.linear(x, WEIGHT) + torch.ones(1, 6), "reshape mv reshape add"),  # not a vector's
        (lambda x: F.linear(x, WEIGHT).cumsum(1), "reshape mv reshape cumsum"),
        (lambda x: x * 2.0, "mul"),  # nothing is gained by it alone
    ],
)  # fmt: skip
def test_a_vector_stays_one(function: Callable[[Tensor], Tensor], names: str) -> None:
    x = torch.randn(1, 1, 8, generator=torch.Generator().manual_seed(0))
    called, found = short(function, x)
    assert " ".join(name for name in called if name != "ones") == names
    assert found.shape == function(x).shape
    torch.testing.assert_close(found, function(x))


@pytest.mark.parametrize(
    ("shape", "dtype"), [((2, 1, 8), torch.float32), ((1, 1, 8), torch.bfloat16), ((8,), torch.float32)], ids=str
)
def test_others_stay_as_they_are(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x, weight = torch.ones(shape, dtype=dtype), torch.ones(8, dtype=dtype)
    calls = taped(lambda x: F.rms_norm(F.linear(x + 0, torch.eye(8, dtype=dtype)), (8,), weight=weight, eps=1e-6), x)
    assert shorten(calls, calls[-1].result) == calls


def test_what_is_written_into_stays_as_it_is() -> None:
    calls = taped(lambda x: F.linear(x + 0, WEIGHT).add_(1.0) * 2, torch.ones(1, 1, 8))
    assert shorten(calls, calls[-1].result) == calls


@torch.inference_mode()
def test_a_step_of_one_text_takes_them_and_equals_the_uncached_model() -> None:
    spec = Spec(norm=choose("rms"), n_layers=2, d_model=16, n_heads=2, d_ff=16, seq_len=7, vocab_size=31)
    model = Transformer(spec, seed=0).eval()
    tokens = torch.randint(31, (1, 7), generator=torch.Generator().manual_seed(1))
    whole, step = model(tokens), Step(model, model.new_state(1, 7))
    step(tokens[:, :1])
    for t in range(1, 7):
        with Tape([]) as tape:
            logits = step(tokens[:, t : t + 1])
        names = [call.name for call in tape.calls]
        assert [names.count(name) for name in ("linear", "rms_norm", "layer_norm")] == [0, 0, 5]
        torch.testing.assert_close(logits, whole[:, t : t + 1], rtol=0, atol=1e-5)
