"""MiniMind, dense and MoE, by its published formulas (jingyaogong/minimind, model/model.py), written out in fp64.

x <- x + Wo attention(rms(x)); x <- x + W2 (silu(W1 n) * W3 n), n = rms(x); logits = E rms(x), E the token table.
Queries and keys turn as complex numbers, neighbouring dimensions being real and imaginary part; each KV head serves
n_heads / n_kv_heads neighbouring query heads. With experts the ffn is the shared one plus the two of the largest
softmax weights, which are divided by their sum.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from harness.model.transformer import Transformer
from harness.spec.presets import preset
from harness.spec.sizes import resize

SPECS = {
    name: resize(preset(name), "2x64", heads=4, seq_len=20).replace(vocab_size=53)
    for name in ("minimind2-small", "minimind2-moe")
}
SPEC = SPECS["minimind2-small"]
N_HEADS, N_KV_HEADS, D_HEAD, THETA, EPS = 4, 1, 16, 1e6, 1e-5


def rms(x: Tensor, gain: Tensor) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * gain


def turned(x: Tensor) -> Tensor:
    """x (T, heads, D) times exp(i t theta^(-2j / D)) on the complex numbers (x_2j, x_2j+1)."""
    frequencies = THETA ** -(torch.arange(0, D_HEAD, 2, dtype=torch.float64) / D_HEAD)
    angles = torch.outer(torch.arange(len(x), dtype=torch.float64), frequencies)
    phase = torch.polar(torch.ones_like(angles), angles)[:, None]
    return torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous()) * phase).flatten(-2)


def attention(x: Tensor, w: dict[str, Tensor], layer: str) -> Tensor:
    q, k, v = (x @ w[f"{layer}attention.{name}.weight"].T for name in "qkv")
    q = turned(q.unflatten(1, (N_HEADS, D_HEAD)))
    k, v = turned(k.unflatten(1, (N_KV_HEADS, D_HEAD))), v.unflatten(1, (N_KV_HEADS, D_HEAD))
    outputs = []
    for head in range(N_HEADS):
        kv = head // (N_HEADS // N_KV_HEADS)
        scores = q[:, head] @ k[:, kv].T / math.sqrt(D_HEAD)
        scores = scores + torch.full_like(scores, -torch.inf).triu(1)
        outputs.append(scores.softmax(-1) @ v[:, kv])
    return torch.cat(outputs, dim=-1) @ w[f"{layer}attention.out.weight"].T


def swiglu(x: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
    g = x @ gate.T
    return (g * torch.sigmoid(g) * (x @ up.T)) @ down.T


def ffn(n: Tensor, w: dict[str, Tensor], layer: str) -> Tensor:
    names = ("gate", "up", "down")
    if f"{layer}router.weight" not in w:
        return swiglu(n, *(w[f"{layer}{name}.weight"] for name in names))
    y = swiglu(n, *(w[f"{layer}shared.{name}.weight"] for name in names))
    p, chosen = (n @ w[f"{layer}router.weight"].T).softmax(-1).topk(2, dim=-1)
    p = p / p.sum(-1, keepdim=True)
    routed = []
    for t in range(len(n)):
        visits = (swiglu(n[t], *(w[f"{layer}{name}.weight"][e] for name in names)) for e in chosen[t])
        routed.append(sum(share * visit for share, visit in zip(p[t], visits, strict=True)))
    return y + torch.stack([torch.as_tensor(r) for r in routed])


def minimind(tokens: Tensor, w: dict[str, Tensor]) -> Tensor:
    """Logits (T, vocab) of one text."""
    x = w["embedding.weight"][tokens]
    for i in range(SPEC.n_layers):
        layer = f"layers.{i}."
        x = x + attention(rms(x, w[f"{layer}residual.attention_norm.weight"]), w, layer)
        x = x + ffn(rms(x, w[f"{layer}residual.ffn_norm.weight"]), w, f"{layer}ffn.")
    return rms(x, w["final_norm.weight"]) @ w["embedding.weight"].T


@pytest.mark.parametrize("name", SPECS)
def test_logits_and_gradients_are_those_of_the_formulas(name: str) -> None:
    model = Transformer(SPECS[name], seed=0).double()
    with torch.no_grad():
        for gain in (p for p in model.parameters() if p.ndim == 1):
            gain.normal_(1.0, 0.2, generator=torch.Generator().manual_seed(gain.numel()))
    weights = {n: p.detach().clone().requires_grad_() for n, p in model.named_parameters()}
    tokens = torch.randint(53, (20,), generator=torch.Generator().manual_seed(0))
    ours, theirs = model(tokens[None])[0], minimind(tokens, weights)
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-10)
    direction = torch.randn(ours.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (ours * direction).sum().backward()
    (theirs * direction).sum().backward()
    for path, parameter in model.named_parameters():
        assert parameter.grad is not None
        expected = weights[path].grad
        assert expected is not None
        assert torch.allclose(parameter.grad, expected, rtol=1e-9, atol=1e-9), path


def test_the_test_is_at_the_presets_options() -> None:
    spec = preset("minimind2-small")
    assert dict(spec.position.options) == {"layout": "interleaved", "theta": THETA}
    assert dict(spec.norm.options) == {"eps": EPS}
    assert dict(SPEC.attention.options) == {"n_kv_heads": N_KV_HEADS}
