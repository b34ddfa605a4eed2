"""Every norm against its formula written out in fp64, and against implementations that we did not write."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from variants import registry
from variants.errors import UserError
from variants.norm._unfused import rms_norm

SIZE = 33  # not a multiple of 16, so that rounding up in prms shows

Parameters = dict[str, Tensor]


def build(name: str, size: int = SIZE, **options: Any) -> nn.Module:
    """A norm whose every parameter is away from its start."""
    norm = registry.get("norm", name)(size, **options)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter += 0.5 * torch.randn(parameter.shape, generator=generator)
    return norm


def draw(*shape: int, dtype: torch.dtype = torch.float64, spread: float = 1.0, mean: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return (spread * torch.randn(shape, generator=generator, dtype=torch.float64) + mean).to(dtype).requires_grad_()


def gradients(y: Tensor, wanted: list[Tensor]) -> tuple[Tensor, ...]:
    """Gradients of a fixed random functional of `y`."""
    functional = torch.randn(y.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(y.dtype)
    return torch.autograd.grad((y * functional).sum(), wanted)


# --- formulas of definitions 2.1, with the constants of the papers and not those of the code under test


def layer(x: Tensor, p: Parameters) -> Tensor:
    mean = x.sum(-1, keepdim=True) / x.shape[-1]
    variance = ((x - mean) ** 2).sum(-1, keepdim=True) / x.shape[-1]
    return (x - mean) / (variance + 1e-5) ** 0.5 * p["weight"] + p["bias"]


def rms(x: Tensor, p: Parameters) -> Tensor:
    return x / ((x**2).sum(-1, keepdim=True) / x.shape[-1] + 1e-6) ** 0.5 * p["weight"]


def prms(x: Tensor, p: Parameters) -> Tensor:
    used = x[..., :3]  # ceil(33 / 16)
    return x / ((used**2).sum(-1, keepdim=True) / 3 + 1e-6) ** 0.5 * p["weight"]


def crms(z: Tensor, p: Parameters) -> Tensor:
    whole = torch.cat((z, -z.sum(-1, keepdim=True)), dim=-1)
    return z / ((whole**2).sum(-1, keepdim=True) / (z.shape[-1] + 1) + 1e-5) ** 0.5


def dyt(x: Tensor, p: Parameters) -> Tensor:
    e = (2 * p["alpha"] * x).exp()
    return p["weight"] * (e - 1) / (e + 1) + p["bias"]


def scale(x: Tensor, p: Parameters) -> Tensor:
    return p["weight"] * math.sqrt(x.shape[-1]) * x / (x**2).sum(-1, keepdim=True) ** 0.5


FORMULAS: dict[str, Callable[[Tensor, Parameters], Tensor]] = {
    "layer": layer,
    "rms": rms,
    "prms": prms,
    "crms": crms,
    "dyt": dyt,
    "scale": scale,
    "none": lambda x, p: x,
}


def test_every_norm_has_a_formula_here() -> None:
    shipped = {"layer", "rms", "prms", "crms", "dyt", "scale", "none"}
    assert shipped == set(FORMULAS)
    assert shipped <= set(registry.names("norm"))


@pytest.mark.parametrize(("spread", "mean"), [(1.0, 0.7), (2e-3, 1e-3)], ids=["ordinary", "near the root of eps"])
@pytest.mark.parametrize("name", FORMULAS)
def test_forward_and_gradients_equal_the_formula(name: str, spread: float, mean: float) -> None:
    norm = build(name).double()
    x = draw(2, 5, SIZE, spread=spread, mean=mean)
    y, expected = norm(x), FORMULAS[name](x, dict(norm.named_parameters()))
    wanted = [x, *norm.parameters()]
    torch.testing.assert_close(y, expected, rtol=1e-10, atol=1e-10)
    for found, right in zip(gradients(y, wanted), gradients(expected, wanted), strict=True):
        torch.testing.assert_close(found, right, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["layer", "rms", "prms", "crms"])
def test_eps_is_an_option_inside_the_root(name: str) -> None:
    """A constant x: rms 3, mean square 9; eps = 7 makes the root 4. LayerNorm: entries 3 and -3."""
    x = torch.full((1, 2), 3.0, dtype=torch.float64)
    if name in ("layer", "crms"):
        x[0, 1] = -3.0
    norm = registry.get("norm", name)(2, eps=7.0).double()
    mean_square = 6.0 if name == "crms" else 9.0  # (3, -3) stands for (3, -3, 0)
    torch.testing.assert_close(norm(x), x / math.sqrt(mean_square + 7), rtol=1e-12, atol=0)


def test_scale_divides_by_no_less_than_eps() -> None:
    x = torch.tensor([[3e-6, 4e-6]], dtype=torch.float64)
    norm = registry.get("norm", "scale")(2).double()
    torch.testing.assert_close(norm(x), math.sqrt(2) * x / 1e-5, rtol=1e-12, atol=0)


# --- implementations we did not write


def foreign(module: str, name: str, *arguments: Any, **options: Any) -> nn.Module:
    """A layer of a package of the test extra."""
    package = module.partition(".")[0]
    pytest.importorskip(package, reason=f"{package} is an oracle of the test extra and is not installed")
    return getattr(importlib.import_module(module), name)(*arguments, **options)


def assert_same(ours: nn.Module, theirs: nn.Module, pairs: dict[str, str], spread: float = 1.0) -> None:
    """Equal outputs, input gradients and parameter gradients in fp32; `pairs` maps our names to theirs."""
    x = draw(2, 5, SIZE, dtype=torch.float32, spread=spread, mean=0.3 * spread)
    mine, other = dict(ours.named_parameters()), dict(theirs.named_parameters())
    y, expected = ours(x), theirs(x)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    found = gradients(y, [x, *(mine[a] for a in pairs)])
    right = gradients(expected, [x, *(other[b] for b in pairs.values())])
    for a, b in zip(found, right, strict=True):
        torch.testing.assert_close(a, b.view_as(a), rtol=1e-4, atol=1e-4 * max(1.0, b.abs().max().item()))


def copy(ours: nn.Module, theirs: nn.Module, pairs: dict[str, str], offset: float = 0.0) -> None:
    with torch.no_grad():
        for a, b in pairs.items():
            target = theirs.get_parameter(b)
            target.copy_(ours.get_parameter(a).view_as(target) + offset)


SPREADS = pytest.mark.parametrize("spread", [1.0, 1e-3])


@SPREADS
def test_layer_is_torch_layer_norm(spread: float) -> None:
    ours, theirs, pairs = build("layer"), nn.LayerNorm(SIZE), {"weight": "weight", "bias": "bias"}
    copy(ours, theirs, pairs)
    assert_same(ours, theirs, pairs, spread)


@SPREADS
def test_layer_without_parameters_is_that_of_olmo(spread: float) -> None:
    theirs = foreign("transformers.models.olmo.modeling_olmo", "OlmoLayerNorm", SIZE)
    assert_same(build("layer", weight=False, bias=False), theirs, {}, spread)


@SPREADS
def test_rms_is_that_of_llama(spread: float) -> None:
    ours = build("rms")
    theirs = foreign("transformers.models.llama.modeling_llama", "LlamaRMSNorm", SIZE, eps=1e-6)
    copy(ours, theirs, {"weight": "weight"})
    assert_same(ours, theirs, {"weight": "weight"}, spread)


@SPREADS
def test_rms_of_much_is_that_of_llama(spread: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way that pays from some size on; here from the first element."""
    monkeypatch.setattr("variants.norm._unfused.FEWEST", 0)
    test_rms_is_that_of_llama(spread)


def test_rms_of_much_differentiates_what_it_computes() -> None:
    x, weight = draw(2, 3, SIZE), draw(SIZE, mean=1.0)
    assert torch.autograd.gradcheck(lambda x, weight: rms_norm(x, weight, 1e-6), (x, weight))
    turned = draw(SIZE, 5).T  # not contiguous
    torch.testing.assert_close(rms_norm(turned, weight, 1e-6), F.rms_norm(turned, (SIZE,), weight, 1e-6))


def test_rms_of_much_is_mapped_over_models_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("variants.norm._unfused.FEWEST", 0)
    norm, x, weights = build("rms").double(), draw(2, 3, SIZE), draw(2, SIZE, mean=1.0)

    def call(x: Tensor, weight: Tensor) -> Tensor:
        return torch.func.functional_call(norm, {"weight": weight}, (x,))

    mapped, apart = torch.func.vmap(call)(x, weights), torch.stack([*map(call, x, weights)])
    torch.testing.assert_close(mapped, apart, rtol=1e-12, atol=1e-12)


@SPREADS
def test_rms_is_that_of_gemma_whose_weight_is_the_gain_less_one(spread: float) -> None:
    ours = build("rms")
    theirs = foreign("transformers.models.gemma.modeling_gemma", "GemmaRMSNorm", SIZE, eps=1e-6)
    copy(ours, theirs, {"weight": "weight"}, offset=-1.0)
    assert_same(ours, theirs, {"weight": "weight"}, spread)


@SPREADS
def test_dyt_is_that_of_x_transformers(spread: float) -> None:
    ours, theirs = build("dyt"), foreign("x_transformers.x_transformers", "DynamicTanh", SIZE, init_alpha=0.5)
    pairs = {"alpha": "pre_tanh_scale", "weight": "gamma", "bias": "beta"}
    copy(ours, theirs, pairs)
    assert_same(ours, theirs, pairs, spread)


@SPREADS
def test_scale_is_that_of_x_transformers(spread: float) -> None:
    ours, theirs = build("scale"), foreign("x_transformers.x_transformers", "ScaleNorm", SIZE)
    copy(ours, theirs, {"weight": "g"})
    assert_same(ours, theirs, {"weight": "g"}, spread)


@SPREADS
def test_crms_is_layer_norm_of_the_whole_vector_without_its_last_entry(spread: float) -> None:
    z = draw(4, SIZE, spread=spread)
    whole = torch.cat((z, -z.sum(-1, keepdim=True)), dim=-1)
    y, expected = build("crms")(z), F.layer_norm(whole, (SIZE + 1,), eps=1e-5)[..., :-1]
    torch.testing.assert_close(y, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradients(y, [z])[0], gradients(expected, [z])[0], rtol=1e-10, atol=1e-10)


# --- low precision

STATISTICAL = ["layer", "rms", "prms", "crms", "scale"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", STATISTICAL)
def test_statistics_of_low_precision_input_are_fp32(name: str, dtype: torch.dtype) -> None:
    """One rounding at the end and no other: half a unit in the last place. Squares overflow in fp16."""
    norm = registry.get("norm", name)(512)
    x = draw(16, 512, dtype=dtype, spread=100.0, mean=400.0).detach()
    y, exact = norm.to(dtype)(x), norm.double()(x.double())
    assert y.dtype == dtype
    half_ulp = torch.finfo(dtype).eps / 2
    torch.testing.assert_close(y.double(), exact, rtol=1.001 * half_ulp, atol=1e-6)


@pytest.mark.parametrize("name", FORMULAS)
def test_low_precision_input_with_fp32_parameters_keeps_its_dtype(name: str) -> None:
    """What QK-norm meets under autocast; a warning would be an error here."""
    assert build(name)(draw(2, SIZE, dtype=torch.bfloat16)).dtype == torch.bfloat16


# --- pRMSNorm's share


@pytest.mark.parametrize(("size", "p", "num_used"), [(16, 1 / 16, 1), (17, 1 / 16, 2), (48, 1 / 16, 3), (30, 0.1, 3)])
def test_prms_uses_the_first_entries_rounded_up(size: int, p: float, num_used: int) -> None:
    x = draw(size)
    used = gradients(registry.get("norm", "prms")(size, p=p).double()(x)[-1], [x])[0].nonzero().flatten()
    assert used.tolist() == [*range(num_used), size - 1]


def test_prms_of_all_entries_is_rms() -> None:
    x = draw(3, SIZE, spread=1e-3)
    torch.testing.assert_close(build("prms", p=1.0).double()(x), build("rms").double()(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("p", [0.0, -0.5, 1.01])
def test_prms_refuses_what_is_no_share(p: float) -> None:
    with pytest.raises(UserError, match="share"):
        registry.get("norm", "prms")(8, p=p)
