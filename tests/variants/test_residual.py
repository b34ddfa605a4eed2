"""Every placement of norms against the decoder layers of transformers, which lend their own attention and FFN."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.variants.gptj import gptj_positions
from variants import registry
from variants.slots import Shape

D_MODEL = 12
SHAPE = Shape(d_model=D_MODEL, n_layers=1, n_heads=2, d_head=6, d_ff=20, seq_len=8, vocab_size=11, bias=True)
TIME = 5


def make_norm(variant: str, **options: Any) -> Callable[[int], nn.Module]:
    return lambda size: registry.get("norm", variant)(size, **options)


def residual(name: str, norm: str = "layer", eps: float = 1e-5, **options: Any) -> nn.Module:
    return registry.get("residual", name)(SHAPE, make_norm(norm, eps=eps), **options)


def draw(*size: int, seed: int = 0, spread: float = 1.0) -> Tensor:
    return spread * torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- layers that we did not write


@dataclass(frozen=True)
class Oracle:
    """A layer of transformers, its sub-layers without norms, and its norms by the names of ours.

    `offset`: what to add to our gain to get the stored weight; -1 for Gemma.
    """

    layer: nn.Module
    forward: Callable[[Tensor], Tensor]
    attention: Callable[[Tensor], Tensor]
    ffn: Callable[[Tensor], Tensor]
    norms: dict[str, str]
    offset: float = 0.0


def transformers_class(family: str, name: str) -> Any:
    pytest.importorskip("transformers", reason="transformers is an oracle of the test extra and is not installed")
    kind = "configuration" if name.endswith("Config") else "modeling"
    return getattr(importlib.import_module(f"transformers.models.{family}.{kind}_{family}"), name)


def tiny(family: str, config: str, **changes: Any) -> Any:
    """The configuration of a model of width 12 without dropout."""
    sizes = {
        "hidden_size": D_MODEL, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 2,
        "vocab_size": 11, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    made = transformers_class(family, config)(**{**sizes, **changes})
    made._attn_implementation = "eager"
    return made


def first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def rotation(d_head: int) -> tuple[Tensor, Tensor]:
    angles = draw(1, TIME, d_head // 2, seed=7).repeat(1, 1, 2)
    return angles.cos(), angles.sin()


def gpt2() -> Oracle:
    config = tiny("gpt2", "GPT2Config", n_inner=20, resid_pdrop=0.0, attn_pdrop=0.0)
    layer = transformers_class("gpt2", "GPT2Block")(config, layer_idx=0).double()
    norms = {"attention_norm": "ln_1", "ffn_norm": "ln_2"}
    return Oracle(layer, lambda x: first(layer(x)), lambda x: first(layer.attn(x)), layer.mlp, norms)


def bert() -> Oracle:
    quiet = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = tiny("bert", "BertConfig", layer_norm_eps=1e-5, **quiet)
    layer = transformers_class("bert", "BertLayer")(config).double()
    return Oracle(
        layer,
        lambda x: first(layer(x)),
        lambda x: layer.attention.output.dense(first(layer.attention.self(x))),
        lambda x: layer.output.dense(layer.intermediate(x)),
        {"attention_norm": "attention.output.LayerNorm", "ffn_norm": "output.LayerNorm"},
    )


def gemma2() -> Oracle:
    config = tiny("gemma2", "Gemma2Config", num_key_value_heads=1, head_dim=6, rms_norm_eps=1e-5)
    layer = transformers_class("gemma2", "Gemma2DecoderLayer")(config, layer_idx=0).double()
    position: dict[str, Any] = {"position_embeddings": rotation(6), "attention_mask": None}
    norms = {
        "attention_norm": "input_layernorm",
        "attention_post_norm": "post_attention_layernorm",
        "ffn_norm": "pre_feedforward_layernorm",
        "ffn_post_norm": "post_feedforward_layernorm",
    }
    attention = lambda x: first(layer.self_attn(x, **position))  # noqa: E731
    return Oracle(layer, lambda x: first(layer(x, **position)), attention, layer.mlp, norms, offset=-1.0)


def olmo2() -> Oracle:
    config = tiny("olmo2", "Olmo2Config", num_key_value_heads=2, rms_norm_eps=1e-5)
    layer = transformers_class("olmo2", "Olmo2DecoderLayer")(config, layer_idx=0).double()
    position: dict[str, Any] = {"position_embeddings": rotation(6), "attention_mask": None}
    norms = {"attention_norm": "post_attention_layernorm", "ffn_norm": "post_feedforward_layernorm"}
    attention = lambda x: first(layer.self_attn(x, **position))  # noqa: E731
    return Oracle(layer, lambda x: first(layer(x, **position)), attention, layer.mlp, norms)


def gpt_neox() -> Oracle:
    quiet = {"hidden_dropout": 0.0, "attention_dropout": 0.0}
    config = tiny("gpt_neox", "GPTNeoXConfig", use_parallel_residual=True, **quiet)
    layer = transformers_class("gpt_neox", "GPTNeoXLayer")(config, layer_idx=0).double()
    position: dict[str, Any] = {"position_embeddings": rotation(2), "attention_mask": None}
    norms = {"attention_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
    attention = lambda x: first(layer.attention(x, **position))  # noqa: E731
    return Oracle(layer, lambda x: first(layer(x, **position)), attention, layer.mlp, norms)


def gptj() -> Oracle:
    config = tiny("gptj", "GPTJConfig", n_inner=20, rotary_dim=4, resid_pdrop=0.0, attn_pdrop=0.0)
    layer = transformers_class("gptj", "GPTJBlock")(config, layer_idx=0).double()
    position = gptj_positions(config, torch.arange(TIME)[None], torch.float64)
    attention = lambda x: first(layer.attn(x, **position))  # noqa: E731
    return Oracle(layer, lambda x: first(layer(x, **position)), attention, layer.mlp, {"attention_norm": "ln_1"})


def randomise(layer: nn.Module) -> None:
    """Values that make the sub-layers' outputs as large as the stream, and every gain its own."""
    with torch.no_grad():
        for i, parameter in enumerate(layer.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=100 + i, spread=0.4))


def pairs_of(ours: nn.Module, oracle: Oracle) -> list[tuple[nn.Parameter, nn.Parameter]]:
    """Our norm parameters with theirs; every one of ours has a partner."""
    pairs = {}
    for mine, theirs in oracle.norms.items():
        for name, parameter in ours.get_submodule(mine).named_parameters():
            pairs[f"{mine}.{name}"] = parameter, oracle.layer.get_parameter(f"{theirs}.{name}")
    assert set(pairs) == {name for name, _ in ours.named_parameters()}
    return list(pairs.values())


CASES = {
    "pre, gpt2": (gpt2, "pre", "layer", {}, 1e-10),
    "post, bert": (bert, "post", "layer", {}, 1e-10),
    "sandwich, gemma2": (gemma2, "sandwich", "rms", {}, 1e-5),  # its norms work in fp32, whatever the input
    "reordered, olmo2": (olmo2, "reordered", "rms", {}, 1e-5),  # likewise
    "parallel, gptj": (gptj, "parallel", "layer", {}, 1e-10),
    "parallel, gpt-neox": (gpt_neox, "parallel", "layer", {"norms": "separate"}, 1e-10),
}


@pytest.mark.parametrize(("oracle", "name", "norm", "options", "tolerance"), CASES.values(), ids=CASES.keys())
def test_layer_is_that_of_transformers(
    oracle: Callable[[], Oracle], name: str, norm: str, options: dict[str, Any], tolerance: float
) -> None:
    theirs, ours = oracle(), residual(name, norm, **options).double()
    randomise(theirs.layer)
    pairs = pairs_of(ours, theirs)
    with torch.no_grad():
        for mine, other in pairs:
            mine.copy_(other - theirs.offset)
    x = draw(2, TIME, D_MODEL).requires_grad_()
    y, expected = ours(x, theirs.attention, theirs.ffn), theirs.forward(x)
    torch.testing.assert_close(y, expected, rtol=tolerance, atol=tolerance)
    functional = draw(*y.shape, seed=3)
    found = torch.autograd.grad((y * functional).sum(), [x, *(mine for mine, _ in pairs)])
    right = torch.autograd.grad((expected * functional).sum(), [x, *(other for _, other in pairs)])
    for a, b in zip(found, right, strict=True):
        torch.testing.assert_close(a, b, rtol=10 * tolerance, atol=10 * tolerance)


STACKS = {
    "pre, gpt2": ("pre", "gpt2", "GPT2Model", "GPT2Config", "h", {}),
    "post, bert": ("post", "bert", "BertModel", "BertConfig", "encoder.layer", {}),
    "sandwich, gemma2": ("sandwich", "gemma2", "Gemma2Model", "Gemma2Config", "layers", {"num_key_value_heads": 1}),
    "reordered, olmo2": ("reordered", "olmo2", "Olmo2Model", "Olmo2Config", "layers", {"num_key_value_heads": 2}),
    "parallel, gptj": ("parallel", "gptj", "GPTJModel", "GPTJConfig", "h", {"rotary_dim": 4}),
    "parallel, gpt-neox": ("parallel", "gpt_neox", "GPTNeoXModel", "GPTNeoXConfig", "layers", {}),
}


@pytest.mark.parametrize(("name", "family", "model", "config", "layers", "sizes"), STACKS.values(), ids=STACKS.keys())
def test_a_norm_ends_the_stack_where_it_does_in_transformers(
    name: str, family: str, model: str, config: str, layers: str, sizes: dict[str, int]
) -> None:
    """What the last layer gives is the model's output, unless a norm comes between."""
    stack = transformers_class(family, model)(tiny(family, config, **sizes)).eval()
    last: list[Tensor] = []
    stack.get_submodule(layers)[-1].register_forward_hook(lambda _m, _i, out: last.append(first(out)))
    with torch.no_grad():
        output = stack(input_ids=torch.arange(TIME)[None] + 3).last_hidden_state
    assert registry.get("residual", name).final_norm == (not torch.equal(output, last[0]))


# --- formulas and properties

NAMES = ["pre", "post", "sandwich", "parallel", "reordered"]


def attention(x: Tensor) -> Tensor:
    """A stand-in that is neither linear nor bounded by its input."""
    return torch.sin(3 * x) + 0.5 * x.roll(1, -1)


def ffn(x: Tensor) -> Tensor:
    return torch.exp(-x.square()) - 0.3 * x.roll(2, -1)


def normalise(x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()


def by_formula(name: str, x: Tensor) -> Tensor:
    """Definitions 2.1, placement, with gains of 1 and shifts of 0."""
    n = normalise
    if name == "parallel":
        return x + attention(n(x)) + ffn(n(x))
    for f in (attention, ffn):
        x = {
            "pre": lambda x, f=f: x + f(n(x)),
            "post": lambda x, f=f: n(x + f(x)),
            "sandwich": lambda x, f=f: x + n(f(n(x))),
            "reordered": lambda x, f=f: x + n(f(x)),
        }[name](x)
    return x


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.floats(1e-3, 10))
def test_placement_equals_the_formula(seed: int, spread: float) -> None:
    x = draw(2, TIME, D_MODEL, seed=seed, spread=spread)
    for name in NAMES:
        found = residual(name).double()(x, attention, ffn)
        torch.testing.assert_close(found, by_formula(name, x), rtol=1e-10, atol=1e-10)
    separate = residual("parallel", norms="separate").double()(x, attention, ffn)
    torch.testing.assert_close(separate, by_formula("parallel", x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["pre", "sandwich", "parallel", "reordered"])
def test_silent_sub_layers_leave_the_stream_as_it_is(name: str) -> None:
    x = draw(2, TIME, D_MODEL)
    assert torch.equal(residual(name).double()(x, torch.zeros_like, torch.zeros_like), x)


def test_post_normalises_the_stream_itself() -> None:
    x = draw(2, TIME, D_MODEL, spread=50.0)
    y = residual("post").double()(x, torch.zeros_like, torch.zeros_like)
    torch.testing.assert_close(y, normalise(normalise(x)), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "options", "num_norms"),
    [
        ("pre", {}, 2),
        ("post", {}, 2),
        ("sandwich", {}, 4),
        ("reordered", {}, 2),
        ("parallel", {}, 1),
        ("parallel", {"norms": "separate"}, 2),
    ],
)
def test_number_of_norms_and_each_is_used(name: str, options: dict[str, Any], num_norms: int) -> None:
    module = residual(name, **options).double()
    assert sum(p.numel() for p in module.parameters()) == num_norms * 2 * D_MODEL
    functional = draw(2, TIME, D_MODEL, seed=4)
    (module(draw(2, TIME, D_MODEL), attention, ffn) * functional).sum().backward()
    for path, parameter in module.named_parameters():
        assert parameter.grad is not None, path
        assert parameter.grad.abs().min() > 0, path


@pytest.mark.parametrize("name", NAMES)
def test_placement_is_of_the_norm_that_is_chosen(name: str) -> None:
    made = residual(name, norm="rms")
    norms = [m for m in made.modules() if isinstance(m, registry.get("norm", "rms"))]
    assert len(norms) == {"sandwich": 4, "parallel": 1}.get(name, 2)
