"""Norms: parameters and FLOPs in closed form, and what each does not change under."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from variants import registry

SIZE = 33
NAMES = ["layer", "rms", "prms", "crms", "dyt", "scale", "none"]


def build(name: str, size: int = SIZE, **options: Any) -> nn.Module:
    """A norm whose every parameter is away from its start."""
    norm = registry.get("norm", name)(size, **options)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter += 0.5 * torch.randn(parameter.shape, generator=generator)
    return norm


# --- closed forms


@pytest.mark.parametrize(
    ("name", "options", "num_params", "flops"),
    [
        ("layer", {}, 2 * SIZE, 7 * SIZE),
        ("layer", {"bias": False}, SIZE, 6 * SIZE),
        ("layer", {"bias": False, "weight": False}, 0, 5 * SIZE),
        ("rms", {}, SIZE, 4 * SIZE),
        ("prms", {}, SIZE, 2 * 3 + 2 * SIZE),
        ("prms", {"p": 1.0}, SIZE, 4 * SIZE),
        ("crms", {}, 0, 4 * SIZE),
        ("dyt", {}, 2 * SIZE + 1, 4 * SIZE),
        ("scale", {}, 1, 3 * SIZE),
        ("none", {}, 0, 0),
    ],
)
def test_parameters_and_flops(name: str, options: dict[str, Any], num_params: int, flops: float) -> None:
    norm = registry.get("norm", name)(SIZE, **options)
    assert sum(p.numel() for p in norm.parameters()) == num_params
    assert norm.flops(seq_len=128).norm == flops
    assert norm.flops(seq_len=128).model == 0


@pytest.mark.parametrize("name", NAMES)
def test_starts_without_a_preference_between_dimensions(name: str) -> None:
    """Permuting x permutes y at the start (prms: within the entries it uses, and within the rest)."""
    norm = registry.get("norm", name)(SIZE).double()
    x = torch.randn(3, SIZE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    order = torch.cat((torch.tensor([2, 0, 1]), torch.arange(3, SIZE).flip(0)))
    torch.testing.assert_close(norm(x[:, order]), norm(x)[:, order], rtol=1e-12, atol=1e-12)


def test_dyt_starts_at_half() -> None:
    norm = registry.get("norm", "dyt")(4)
    torch.testing.assert_close(norm(torch.ones(4)), torch.full((4,), math.tanh(0.5)))
    assert registry.get("norm", "dyt")(4, alpha=0.8).alpha.item() == pytest.approx(0.8)


# --- properties

VECTORS = st.lists(st.floats(-10, 10), min_size=6, max_size=6).map(lambda v: torch.tensor(v, dtype=torch.float64))
FACTORS = st.floats(0.01, 100)


@settings(deadline=None, max_examples=50)
@given(VECTORS, st.floats(-100, 100))
def test_layer_ignores_a_shift(x: Tensor, shift: float) -> None:
    norm = build("layer", 6).double()
    torch.testing.assert_close(norm(x + shift), norm(x), rtol=1e-6, atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(VECTORS.filter(lambda v: v[0].abs() > 0.5), FACTORS)
def test_rms_prms_and_scale_ignore_a_factor(x: Tensor, factor: float) -> None:
    for name, options in (("rms", {"eps": 0.0}), ("prms", {"eps": 0.0}), ("scale", {})):
        norm = build(name, 6, **options).double()
        torch.testing.assert_close(norm(x * factor), norm(x), rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=50)
@given(VECTORS.filter(lambda v: v.abs().max() > 1))
def test_rms_and_scale_start_with_outputs_of_rms_one(x: Tensor) -> None:
    for name in ("rms", "scale"):
        y = registry.get("norm", name)(6).double()(x)
        assert y.square().mean().item() == pytest.approx(1, abs=1e-4)


@settings(deadline=None, max_examples=50)
@given(VECTORS, FACTORS)
def test_dyt_is_bounded_and_odd_about_its_shift(x: Tensor, factor: float) -> None:
    norm = build("dyt", 6).double()
    weight, bias = norm.get_parameter("weight"), norm.get_parameter("bias")
    up, down = norm(factor * x) - bias, norm(-factor * x) - bias
    assert (up.abs() <= weight.abs() + 1e-12).all()
    torch.testing.assert_close(up, -down, rtol=1e-9, atol=1e-12)
