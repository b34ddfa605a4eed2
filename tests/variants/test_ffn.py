"""The dense FFN against transformers' MLPs, and the low-rank branch beside it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from harness.model.transformer import Transformer
from harness.plan.ledger import count
from harness.spec.spec import Choice, Spec
from variants import registry
from variants.errors import UserError
from variants.slots import Shape

transformers = pytest.importorskip("transformers", reason="the oracle is transformers; install the test extra")

F64 = torch.float64


def make(name: str, activation: str, *, bias: bool, **options: Any) -> Any:
    shape = Shape(d_model=12, n_layers=2, n_heads=2, d_head=6, d_ff=20, seq_len=8, vocab_size=9, bias=bias)
    module = registry.get("ffn", name)(shape, registry.get("activation", activation), **options).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for path, p in module.named_parameters():
            if path not in ("a.weight", "b.weight"):
                p.copy_(torch.randn(p.shape, generator=generator, dtype=F64) / 2)
    return module


def inputs() -> Tensor:
    return torch.randn(2, 7, 12, generator=torch.Generator().manual_seed(1), dtype=F64)


def agree(ours: Any, oracle: Any, pairs: dict[str, str], *, transposed: bool = False) -> None:
    """Outputs and all gradients; `pairs` maps our parameters to the oracle's."""

    def turn(t: Tensor) -> Tensor:
        return t.T if transposed and t.ndim == 2 else t

    with torch.no_grad():
        for mine, theirs in pairs.items():
            oracle.get_parameter(theirs).copy_(turn(ours.get_parameter(mine)))
    x, same = inputs().requires_grad_(), inputs().requires_grad_()
    y, expected = ours(x), oracle(same)
    torch.testing.assert_close(y, expected, rtol=1e-10, atol=1e-10)
    y.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(x.grad, same.grad, rtol=1e-10, atol=1e-10)
    assert set(pairs) == {n for n, _ in ours.named_parameters()}
    for mine, theirs in pairs.items():
        torch.testing.assert_close(ours.get_parameter(mine).grad, turn(oracle.get_parameter(theirs).grad))


def test_gated_is_llamas() -> None:
    from transformers.models.llama.modeling_llama import LlamaMLP

    config = transformers.LlamaConfig(hidden_size=12, intermediate_size=20, num_attention_heads=2, mlp_bias=True)
    pairs = {f"{n}.{kind}": f"{n}_proj.{kind}" for n in ("gate", "up", "down") for kind in ("weight", "bias")}
    agree(make("dense", "swiglu", bias=True), LlamaMLP(config).double(), pairs)


def test_not_gated_is_gpt2s() -> None:
    from transformers.models.gpt2.modeling_gpt2 import GPT2MLP

    config = transformers.GPT2Config(n_embd=12, n_head=2, activation_function="gelu", resid_pdrop=0.0)
    pairs = {"up.weight": "c_fc.weight", "up.bias": "c_fc.bias"}
    pairs |= {"down.weight": "c_proj.weight", "down.bias": "c_proj.bias"}
    agree(make("dense", "gelu", bias=True), GPT2MLP(20, config).double(), pairs, transposed=True)


@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
def test_lora_starts_as_the_dense_ffn(activation: str) -> None:
    lora, dense = make("lora", activation, bias=True, rank=3), make("dense", activation, bias=True)
    assert torch.equal(lora(inputs()), dense(inputs()))
    lora(inputs()).square().sum().backward()
    assert lora.a.weight.grad.abs().max() == 0, "B = 0 hides A on the first step"
    assert lora.b.weight.grad.abs().max() > 0


def test_lora_adds_a_low_rank_matrix() -> None:
    """alpha / r B A is one matrix of rank r, the same at every position."""
    lora, dense = make("lora", "gelu", bias=False, rank=3, alpha=6.0), make("dense", "gelu", bias=False)
    with torch.no_grad():
        lora.b.weight.normal_(generator=torch.Generator().manual_seed(2))
    whole = 6.0 / 3 * lora.b.weight @ lora.a.weight
    assert torch.linalg.matrix_rank(whole) == 3
    torch.testing.assert_close(lora(inputs()), dense(inputs()) + inputs() @ whole.T, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(lora(inputs().roll(1, 1)), lora(inputs()).roll(1, 1), rtol=1e-12, atol=1e-12)


def test_lora_model_starts_as_the_dense_model() -> None:
    """After the one initialisation too: what they share has the same bits, and B is still 0."""
    spec = Spec(n_layers=2, d_model=12, n_heads=2, seq_len=8, vocab_size=9)
    tokens = torch.arange(8)[None]
    lora = spec.replace(ffn=Choice("lora", (("rank", 2),)))
    assert torch.equal(Transformer(spec, seed=0)(tokens), Transformer(lora, seed=0)(tokens))
    extra = 2 * 2 * (12 + 12)  # two layers of rank 2
    assert count(lora).total_params - count(spec).total_params == extra
    assert count(lora).flops.matmul - count(spec).flops.matmul == 2 * extra


def test_lora_refuses_rank_0() -> None:
    with pytest.raises(UserError, match="rank"):
        make("lora", "gelu", bias=False, rank=0)
