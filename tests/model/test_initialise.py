"""Initial values: a distribution a role, scaled with width, keyed by seed and name."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from harness.model.initialise import initialise
from harness.model.transformer import Transformer
from harness.spec.spec import Choice, Spec
from variants.errors import UserError

SPEC = Spec(n_layers=3, d_model=192, n_heads=4, seq_len=64, vocab_size=257)


def parameters(spec: Spec, seed: int = 0) -> dict[str, torch.Tensor]:
    return {name: p.detach() for name, p in Transformer(spec, seed=seed).named_parameters()}


@pytest.mark.parametrize(
    ("name", "std"),
    [
        ("embedding.weight", 192**-0.5),
        ("position.table.weight", 192**-0.5),
        ("layers.1.attention.q.weight", 192**-0.5),
        ("layers.1.ffn.up.weight", 192**-0.5),
        ("layers.1.attention.out.weight", (192 * 6) ** -0.5),
        ("layers.1.ffn.down.weight", (768 * 6) ** -0.5),
    ],
)
def test_standard_deviation_by_role(name: str, std: float) -> None:
    values = parameters(SPEC)[name]
    tolerance = 5 / math.sqrt(2 * values.numel())  # five standard errors of a standard deviation
    assert values.std().item() == pytest.approx(std, rel=tolerance)
    assert values.mean().item() == pytest.approx(0.0, abs=5 * std / math.sqrt(values.numel()))


def test_experts_and_router_by_role() -> None:
    values = parameters(SPEC.replace(ffn=Choice("moe"), d_ff=64))
    assert values["layers.0.ffn.up.weight"].std().item() == pytest.approx(192**-0.5, rel=0.02)
    assert values["layers.0.ffn.down.weight"].std().item() == pytest.approx((64 * 6) ** -0.5, rel=0.02)
    assert values["layers.0.ffn.router.weight"].std().item() == pytest.approx(192**-0.5, rel=0.1)


def test_gains_are_one_and_biases_zero() -> None:
    for name, values in parameters(SPEC).items():
        if values.ndim == 1:
            assert torch.equal(values, torch.ones_like(values) if "norm.weight" in name else torch.zeros_like(values))


@pytest.mark.parametrize(
    "change",
    [{"norm": Choice("rms")}, {"activation": Choice("swiglu"), "d_ff": 512}, {"ffn": Choice("moe"), "d_ff": 64}],
)
def test_tensors_that_two_arms_share_start_equal(change: dict[str, object]) -> None:
    mine, theirs = parameters(SPEC), parameters(SPEC.replace(**change))
    shared = [name for name in mine if name in theirs and mine[name].shape == theirs[name].shape]
    assert "layers.2.attention.q.weight" in shared
    assert all(torch.equal(mine[name], theirs[name]) for name in shared)


def test_other_seeds_and_other_names_differ() -> None:
    first, second = parameters(SPEC, 0), parameters(SPEC, 1)
    assert not torch.equal(first["layers.0.attention.q.weight"], second["layers.0.attention.q.weight"])
    assert not torch.equal(first["layers.0.attention.q.weight"], first["layers.1.attention.q.weight"])


def test_logits_start_near_unit_variance_at_any_width() -> None:
    for d_model in (48, 192, 384):
        model = Transformer(SPEC.replace(d_model=d_model), seed=0)
        logits = model(torch.randint(257, (8, 64), generator=torch.Generator().manual_seed(0)))
        assert 0.7 < logits.std().item() < 1.4


def test_a_matrix_without_a_role_is_refused() -> None:
    model = Transformer(SPEC, seed=None)
    owner = nn.Module()
    owner.table = nn.Parameter(torch.zeros(3, 3))
    model.stray = owner
    with pytest.raises(UserError, match=r"stray\.table .* declares no role"):
        initialise(model, 0)
