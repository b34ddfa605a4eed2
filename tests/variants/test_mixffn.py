"""The causal convolution against torch's, and MixFFN against SegFormer's on an image of one row."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.model.transformer import Transformer
from harness.plan.ledger import count
from harness.spec.spec import Choice, Spec
from variants import registry
from variants.errors import UserError
from variants.ffn.mixffn import CausalConv
from variants.slots import Shape

D, D_FF, T = 12, 20, 9
F32, F64 = torch.float32, torch.float64


def make(activation: str = "gelu", name: str = "mixffn", dtype: torch.dtype = F64, **options: Any) -> Any:
    """Random matrices; kernels as the options start them."""
    shape = Shape(d_model=D, n_layers=2, n_heads=2, d_head=6, d_ff=D_FF, seq_len=T, vocab_size=9, bias=True)
    module = registry.get("ffn", name)(shape, registry.get("activation", activation), **options).to(dtype)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for path, p in module.named_parameters():
            if "conv" not in path:
                p.copy_(torch.randn(p.shape, generator=generator, dtype=F64) / 3)
    return module


def randomise(conv: Any, seed: int = 3) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in conv.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=F64))


def inputs(size: int = D, dtype: torch.dtype = F64) -> Tensor:
    return torch.randn(2, T, size, generator=torch.Generator().manual_seed(1), dtype=F64).to(dtype)


@pytest.mark.parametrize("dtype", [F32, F64], ids=["fp32", "fp64"])
@pytest.mark.parametrize("kernel", [1, 3, 4])
def test_convolution_is_torchs(kernel: int, dtype: torch.dtype) -> None:
    """nn.Conv1d, depthwise, padded on both sides and cut; its last tap is the present token."""
    ours = CausalConv(D, kernel, "identity").to(dtype)
    randomise(ours)
    oracle: Any = nn.Conv1d(D, D, kernel, groups=D, padding=kernel - 1).to(dtype)
    with torch.no_grad():
        oracle.weight.copy_(ours.weight.flip(1)[:, None])
        oracle.bias.copy_(ours.bias)
    u, same = inputs(dtype=dtype).requires_grad_(), inputs(dtype=dtype).requires_grad_()
    c, expected = ours(u), oracle(same.transpose(1, 2))[..., :T].transpose(1, 2)
    forward, backward = (1e-5, 1e-4) if dtype == F32 else (1e-10, 1e-10)
    torch.testing.assert_close(c, expected, rtol=forward, atol=forward)
    c.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(u.grad, same.grad, rtol=backward, atol=backward)
    torch.testing.assert_close(ours.weight.grad, oracle.weight.grad.flip(2)[:, 0], rtol=backward, atol=backward)
    torch.testing.assert_close(ours.bias.grad, oracle.bias.grad, rtol=backward, atol=backward)


@pytest.mark.parametrize("dtype", [F32, F64], ids=["fp32", "fp64"])
def test_mixffn_is_segformers_on_one_row(dtype: torch.dtype) -> None:
    """Its 3x3 kernel, with all but the middle row zero and no future tap, is a causal kernel of 2 tokens."""
    segformer = pytest.importorskip("transformers.models.segformer.modeling_segformer", reason="needs transformers")
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    config = transformers.SegformerConfig(hidden_act="gelu", hidden_dropout_prob=0.0)
    oracle_class = getattr(segformer, "SegformerMixMLP", None) or segformer.SegformerMixFFN
    oracle = oracle_class(config, D, D_FF, D).to(dtype)
    ours = make(kernel=2, dtype=dtype)
    randomise(ours.conv)
    with torch.no_grad():
        for mine, theirs in ((ours.up, oracle.fc1), (ours.down, oracle.fc2)):
            theirs.load_state_dict(mine.state_dict())
        oracle.dwconv.dwconv.weight.zero_()
        oracle.dwconv.dwconv.weight[:, 0, 1, :2] = ours.conv.weight.flip(1)
        oracle.dwconv.dwconv.bias.copy_(ours.conv.bias)
    x, same = inputs(dtype=dtype).requires_grad_(), inputs(dtype=dtype).requires_grad_()
    y, expected = ours(x), oracle(same, 1, T)
    forward, backward = (1e-5, 1e-4) if dtype == F32 else (1e-10, 1e-10)
    torch.testing.assert_close(y, expected, rtol=forward, atol=forward)
    y.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(x.grad, same.grad, rtol=backward, atol=backward)
    torch.testing.assert_close(ours.up.weight.grad, oracle.fc1.weight.grad, rtol=backward, atol=backward)
    kernel = oracle.dwconv.dwconv.weight.grad[:, 0, 1, :2].flip(1)
    torch.testing.assert_close(ours.conv.weight.grad, kernel, rtol=backward, atol=backward)


@pytest.mark.parametrize("on", ["up", "gate", "both"])
def test_gated_forms(on: str) -> None:
    """y = W_down (silu(conv_g(W_gate x)) * conv_u(W_up x)), with the convolutions that `on` names."""
    ours = make("swiglu", on=on)
    gate, up = ours.gate(inputs()), ours.up(inputs())
    if on != "up":
        randomise(ours.gate_conv, 4)
        gate = _shifted(ours.gate_conv, gate)
    if on != "gate":
        randomise(ours.conv, 5)
        up = _shifted(ours.conv, up)
    expected = ours.down(nn.functional.silu(gate) * up)
    torch.testing.assert_close(ours(inputs()), expected, rtol=1e-10, atol=1e-10)
    assert (ours.conv is None) == (on == "gate")
    assert (ours.gate_conv is None) == (on == "up")


def _shifted(conv: CausalConv, u: Tensor) -> Tensor:
    c = conv.bias + conv.weight[:, 0] * u
    c[:, 1:] += conv.weight[:, 1] * u[:, :-1]
    c[:, 2:] += conv.weight[:, 2] * u[:, :-2]
    return c


@pytest.mark.parametrize(("activation", "on"), [("gelu", "up"), ("swiglu", "both")])
def test_identity_start_is_the_dense_ffn(activation: str, on: str) -> None:
    ours, dense = make(activation, on=on), make(activation, "dense")
    torch.testing.assert_close(ours(inputs()), dense(inputs()), rtol=0, atol=1e-14)


def test_starts() -> None:
    """identity: 1, 0, 0. default: uniform within 1/sqrt(kernel), whatever the number of channels."""
    spec = Spec(n_layers=1, d_model=48, n_heads=2, d_ff=2000, vocab_size=9)
    kernels = {}
    for start in ("identity", "default"):
        model = Transformer(spec.replace(ffn=Choice("mixffn", (("kernel", 4), ("start", start)))), seed=0)
        kernels[start] = model.get_parameter("layers.0.ffn.conv.weight")
        assert model.get_parameter("layers.0.ffn.conv.bias").abs().max() == 0
    assert torch.equal(kernels["identity"], torch.tensor([1.0, 0, 0, 0]).expand(2000, 4))
    assert 0.499 < kernels["default"].abs().max() <= 0.5
    assert kernels["default"].std().item() == pytest.approx(0.5 / 3**0.5, rel=0.02)


def test_no_future_reaches_the_past() -> None:
    ours = make(dtype=F32)
    randomise(ours.conv)
    other = inputs(dtype=F32)
    other[:, 4:] += 1
    assert torch.equal(ours(other)[:, :4], ours(inputs(dtype=F32))[:, :4])
    assert not torch.allclose(ours(other)[:, 4], ours(inputs(dtype=F32))[:, 4])
    other = inputs(dtype=F32)
    other[:, :4] += 1
    changed = (ours(other) != ours(inputs(dtype=F32))).any(dim=2).any(dim=0)
    assert changed.tolist() == [True] * 6 + [False] * 3, "three tokens see it: the last one and the next two"


@pytest.mark.parametrize(("kernel", "on"), [(1, "up"), (3, "both"), (5, "gate")])
def test_decoding_remembers(kernel: int, on: str) -> None:
    """A prompt shorter than the kernel, then pieces, equal the whole."""
    ours = make("swiglu", kernel=kernel, on=on)
    for conv in (ours.conv, ours.gate_conv):
        if conv is not None:
            randomise(conv)
    state = ours.new_state(2, T, inputs())
    pieces = [ours(piece, state) for piece in inputs().split([2, 1, 1, 4, 1], dim=1)]
    torch.testing.assert_close(torch.cat(pieces, dim=1), ours(inputs()), rtol=1e-12, atol=1e-12)
    assert all(past.shape == (2, kernel - 1, D_FF) for past in state.values())


def test_parameters_and_flops_by_closed_form() -> None:
    dense = Spec(n_layers=2, d_model=24, n_heads=2, d_ff=32, activation=Choice("swiglu"))
    mixed = dense.replace(ffn=Choice("mixffn", (("kernel", 4), ("on", "both"))))
    assert count(mixed).total_params - count(dense).total_params == 2 * 2 * (4 * 32 + 32)
    assert count(mixed).flops.conv == 2 * 2 * 2 * 4 * 32
    assert count(mixed).flops.matmul == count(dense).flops.matmul


def test_refusals() -> None:
    with pytest.raises(UserError, match="kernel"):
        make(kernel=0)
    with pytest.raises(UserError, match="gated"):
        make("gelu", on="gate")
