"""Attention variants: degenerate forms that must coincide, causality, windows, options, sizes and FLOPs."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.model.transformer import Transformer
from harness.plan.ledger import count
from harness.plan.profile import declared, profile
from harness.spec.spec import Choice, Spec
from variants import registry
from variants.attention._heads import attend
from variants.attention.gqa import GQA, quarter
from variants.attention.mha import MHA
from variants.attention.mla import MLA
from variants.attention.mqa import MQA
from variants.attention.window import Window
from variants.errors import UserError
from variants.norm.rms import RMSNorm
from variants.position.alibi import ALiBi
from variants.slots import Context, Encoding, Shape

ATTENTIONS = ("mha", "gqa", "mqa", "mla", "window")
CAUSAL = torch.ones(9, 9, dtype=torch.bool).tril()
SMALL = Spec(n_layers=2, d_model=24, n_heads=4, d_ff=32, seq_len=16, vocab_size=31)


def shape(n_heads: int = 4, d_model: int = 24, d_head: int = 8, bias: bool = True) -> Shape:
    """n_heads * d_head is not d_model, as in Gemma 2 and Qwen3."""
    return Shape(d_model, 2, n_heads, d_head, 32, 9, 31, bias=bias)


def make(kind: type, sizes: Shape | None = None, **options: Any) -> Any:
    torch.manual_seed(0)
    return kind(sizes or shape(), RMSNorm, **options).double()


def run(module: nn.Module, x: Tensor, encoding: Encoding | None = None) -> Tensor:
    time = x.shape[1]
    return module(x, Context(torch.arange(time), time, encoding or Encoding()))


def inputs(time: int = 9, d_model: int = 24) -> Tensor:
    return torch.randn(2, time, d_model, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def assert_same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def qkv(heads: int, kv_heads: int, d_value: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    sizes = ((2, heads, 9, 8), (2, kv_heads, 9, 8), (2, kv_heads, 9, d_value))
    q, k, v = (torch.randn(size, dtype=torch.float64, generator=generator) for size in sizes)
    return q, k, v


def by_hand(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float, cap: float | None = None) -> Tensor:
    """One head at a time, the definition; `mask` (9, 9) or with a bias (heads, 9, 9) already -inf where unseen."""
    heads = []
    for h in range(q.shape[1]):
        g = h * k.shape[1] // q.shape[1]
        scores = q[:, h] @ k[:, g].transpose(1, 2) * scale
        scores = scores if cap is None else cap * torch.tanh(scores / cap)
        heads.append((scores + (mask[h] if mask.ndim == 3 else mask)).softmax(-1) @ v[:, g])
    return torch.stack(heads, dim=1)


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("window", [None, 1, 3, 8, 9, 50])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize(("heads", "kv_heads", "d_value"), [(4, 4, 8), (6, 2, 8), (4, 1, 5)])
def test_attend_is_its_definition(
    heads: int, kv_heads: int, d_value: int, biased: bool, window: int | None, softcap: float | None
) -> None:
    q, k, v = qkv(heads, kv_heads, d_value)
    context = Context(torch.arange(9), 9, ALiBi(shape(heads)).double().encode(torch.arange(9), 9))
    bias = context.encoding.bias
    assert bias is not None
    if not biased:
        context, bias = Context(torch.arange(9), 9, Encoding()), torch.zeros(1).double()
    seen = torch.tensor([[i - (window or 99) < j <= i for j in range(9)] for i in range(9)])
    expected = by_hand(q, k, v, bias.masked_fill(~seen, -torch.inf), 0.3, softcap)
    assert_same(attend(q, k, v, context, window=window, scale=0.3, softcap=softcap), expected)


def test_attend_divides_by_the_root_of_d_head() -> None:
    q, k, v = qkv(4, 4)
    mask = torch.zeros(9, 9).masked_fill(~CAUSAL, -torch.inf)
    context = Context(torch.arange(9), 9, Encoding())
    assert_same(attend(q, k, v, context), by_hand(q, k, v, mask, 1 / math.sqrt(8)))


@pytest.mark.parametrize("softcap", [None, 2.0])
def test_attend_takes_a_bias_for_each_text(softcap: float | None) -> None:
    """(batch, time) positions and a (batch, heads, queries, keys) bias: each text as if alone."""
    q, k, v = qkv(6, 2)
    rows = torch.tensor([[0, 1, 4], [3, 5, 8]])
    encode = ALiBi(shape(6)).double().encode
    together = attend(q[:, :, :3], k, v, Context(rows, 9, encode(rows, 9)), window=4, softcap=softcap)
    for i, row in enumerate(rows):
        one = slice(i, i + 1)
        alone = attend(q[one, :, :3], k[one], v[one], Context(row, 9, encode(row, 9)), window=4, softcap=softcap)
        assert_same(together[one], alone)


def test_gqa_with_all_heads_is_mha_and_with_one_is_mqa() -> None:
    x = inputs()
    assert_same(run(make(GQA, n_kv_heads=4), x), run(make(MHA), x))
    assert_same(run(make(GQA, n_kv_heads=1), x), run(make(MQA), x))


def test_gqa_is_mha_whose_neighbours_share_keys() -> None:
    """repeat_interleave, not tile: query heads 0, 1 use kv head 0."""
    grouped, full = make(GQA, n_kv_heads=2), make(MHA)
    weights = grouped.state_dict()
    for name in ("k.weight", "v.weight", "k.bias", "v.bias"):
        weights[name] = weights[name].unflatten(0, (2, 8)).repeat_interleave(2, dim=0).flatten(0, 1)
    full.load_state_dict(weights)
    assert_same(run(grouped, inputs()), run(full, inputs()))


def test_default_kv_heads() -> None:
    assert [quarter(n) for n in (1, 2, 4, 8, 9, 12, 32)] == [1, 1, 1, 2, 1, 3, 8]


def test_a_window_longer_than_the_text_is_full_attention() -> None:
    x = inputs()
    assert_same(run(make(Window, window=9), x), run(make(MHA), x))
    assert_same(run(make(Window, window=100), x), run(make(MHA), x))


@pytest.mark.parametrize("window", [1, 2, 4])
def test_a_window_sees_exactly_its_keys(window: int) -> None:
    """Query 8 depends on keys 9 - window .. 8 and on no other."""
    x = inputs().requires_grad_()
    run(make(Window, window=window), x)[:, 8].sum().backward()
    assert x.grad is not None
    seen = (x.grad != 0).any(-1).any(0)
    assert seen.tolist() == [j > 8 - window for j in range(9)]


def test_alibi_with_slope_zero_is_none() -> None:
    position = ALiBi(shape()).double()
    position.exponents.fill_(torch.inf)
    encoding = position.encode(torch.arange(9), 9)
    assert_same(run(make(MHA), inputs(), encoding), run(make(MHA), inputs()))


def test_a_very_large_softcap_is_no_cap() -> None:
    torch.testing.assert_close(run(make(MHA, softcap=1e6), inputs()), run(make(MHA), inputs()), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ATTENTIONS)
@pytest.mark.parametrize("softcap", [None, 5.0])
def test_attention_is_causal(name: str, softcap: float | None) -> None:
    module = make(registry.get("attention", name), softcap=softcap).float()
    x = inputs().float()
    for t in (1, 4, 8):
        other = x.clone()
        other[:, t] += 1.0
        before, after = run(module, x), run(module, other)
        assert torch.equal(before[:, :t], after[:, :t])
        assert not torch.equal(before[:, t], after[:, t])


@pytest.mark.parametrize("name", ATTENTIONS)
def test_bias_overrides_the_models(name: str) -> None:
    kind = registry.get("attention", name)

    def biases(sizes: Shape, bias: bool | None) -> bool:
        return any(path.endswith("bias") for path, _ in make(kind, sizes, bias=bias).named_parameters())

    assert biases(shape(bias=False), True)
    assert not biases(shape(bias=True), False)
    assert biases(shape(bias=True), None)
    assert not biases(shape(bias=False), None)


@pytest.mark.parametrize("qk_norm", ["head", "full"])
def test_qk_norm_makes_scores_blind_to_the_size_of_q_and_k(qk_norm: str) -> None:
    module = make(GQA, shape(bias=False), n_kv_heads=2, qk_norm=qk_norm)
    before = run(module, inputs())
    with torch.no_grad():
        module.get_parameter("q.weight").mul_(3.0)
        module.get_parameter("k.weight").mul_(5.0)
    torch.testing.assert_close(run(module, inputs()), before, rtol=0, atol=1e-5)  # eps is inside the root


def test_mla_sizes() -> None:
    """DeepSeek-V2's ratios where they fit: kv_rank 4 d_head, at most d_model / 2; d_rope d_head / 2."""
    with torch.device("meta"):
        mla, large = MLA(shape(2, 48, 24), RMSNorm), MLA(shape(128, 5120, 128), RMSNorm)
    assert (mla.kv_rank, mla.d_nope, mla.d_rope, mla.d_value) == (24, 24, 12, 24)
    assert (large.kv_rank, large.d_nope, large.d_rope, large.d_value) == (512, 128, 64, 128)
    state = MLA(shape(), RMSNorm, kv_rank=6, d_rope=4).new_state(2, 9, torch.zeros(1))
    assert {name: tuple(t.shape) for name, t in state.items()} == {"latent": (2, 1, 9, 6 + 4)}


@pytest.mark.parametrize("options", [{}, {"q_rank": 7}, {"d_value": 3, "softcap": 4.0}, {"bias": False, "scale": 0.2}])
@pytest.mark.parametrize("position", ["none", "rope", "alibi"])
def test_mla_absorbed_and_expanded_agree(position: str, options: dict[str, Any]) -> None:
    mla, x = make(MLA, kv_rank=6, d_nope=5, d_rope=4, **options), inputs()
    encode = registry.get("position", position)(shape()).double().encode
    context = Context(torch.arange(9), 9, encode(torch.arange(9), 9))
    expanded = mla(x, context)
    absorbed = mla(x, context, mla.new_state(2, 9, x))
    assert_same(expanded, absorbed)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mha", {}),
        ("mha", {"qk_norm": "head", "softcap": 5.0}),
        ("gqa", {"n_kv_heads": 2}),
        ("mqa", {}),
        ("window", {"window": 3}),
        ("mla", {"kv_rank": 10, "d_nope": 6, "d_rope": 4, "d_value": 5}),
        ("mla", {"q_rank": 9, "softcap": 5.0, "d_value": 4}),
    ],
)
def test_declared_flops_are_those_executed(name: str, options: dict[str, Any]) -> None:
    spec = SMALL.replace(attention=Choice(name, tuple(sorted(options.items()))))
    _check_flops(spec)


@pytest.mark.parametrize("name", ["sinusoidal", "alibi", "t5", "fire", "rope"])
def test_declared_flops_of_positions_are_those_executed(name: str) -> None:
    _check_flops(SMALL.replace(position=Choice(name)))


def _check_flops(spec: Spec) -> None:
    """For one text: FIRE works once a pass, whatever the batch."""
    wanted, executed = declared(count(spec).flops, conv=False) * spec.seq_len, profile(spec, batch_size=1)
    assert executed.forward == pytest.approx(wanted, rel=1e-12)
    assert executed.backward == pytest.approx(2 * wanted, rel=1e-12)


def test_mla_flops_are_the_closed_form() -> None:
    """definitions 3.1, a layer: q, kv, attention and output."""
    options = {"kv_rank": 10, "q_rank": 9, "d_nope": 6, "d_rope": 4, "d_value": 5}
    spec = SMALL.replace(attention=Choice("mla", tuple(sorted(options.items()))), seq_len=15)
    d, h, r, rq, dn, dr, dv, keys = 24, 4, 10, 9, 6, 4, 5, 8
    modules = [m.flops for m in count(spec).modules if m.name.startswith("layers.0.attention")]
    matmul = 2 * d * rq + 2 * rq * h * (dn + dr) + 2 * d * (r + dr) + 2 * r * h * (dn + dv) + 2 * h * dv * d
    assert sum(f.matmul for f in modules) == matmul
    assert sum(f.attention for f in modules) == 2 * h * (dn + dr + dv) * keys


def test_window_flops_count_the_visible_keys() -> None:
    spec = SMALL.replace(attention=Choice("window", (("window", 3),)))
    [flops] = [m.flops for m in count(spec).modules if m.name == "layers.0.attention"]
    seen = sum(min(i + 1, 3) for i in range(16)) / 16
    assert flops.attention == pytest.approx(4 * 4 * 6 * seen)
    assert flops.attention + flops.attention_masked == pytest.approx(4 * 4 * 6 * 16)


def test_qk_norm_is_counted_once_a_head() -> None:
    spec = SMALL.replace(norm=Choice("rms"), attention=Choice("gqa", (("n_kv_heads", 2), ("qk_norm", "head"))))
    parts = [m.flops.norm for m in count(spec).modules if m.name.startswith("layers.0.attention")]
    assert sum(parts) == 4 * 6 * (4 + 2)


@pytest.mark.parametrize(
    ("name", "options", "rule"),
    [
        ("gqa", {"n_kv_heads": 3}, "must divide n_heads = 4"),
        ("window", {"window": 0}, "window"),
        ("mha", {"softcap": 0.0}, "softcap"),
        ("mha", {"scale": -1.0}, "scale"),
        ("mla", {"d_rope": 3}, "even"),
        ("mla", {"kv_rank": 0}, "kv_rank"),
        ("mla", {"d_value": 100}, "d_value"),
    ],
)
def test_bad_options_are_refused_by_name(name: str, options: dict[str, Any], rule: str) -> None:
    with pytest.raises(UserError, match=rule):
        Transformer(SMALL.replace(attention=Choice(name, tuple(options.items()))), seed=None)
