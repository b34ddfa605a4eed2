"""Sliced cross-entropy against torch's own, and activations that are computed again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from harness.model import cross_entropy, transformer
from harness.model.cross_entropy import sliced_cross_entropy
from harness.model.transformer import Transformer
from harness.spec.spec import Choice, Spec


@pytest.mark.parametrize("softcap", [None, 5.0])
@pytest.mark.parametrize("rows", [1, 7, 20, 21, 1000])
def test_slices_give_the_loss_and_gradients_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, softcap: float | None, rows: int
) -> None:
    monkeypatch.setattr(cross_entropy, "SLICE_LOGITS", rows * 31)
    torch.manual_seed(0)
    x, weight = torch.randn(21, 8, dtype=torch.float64), 2 * torch.randn(31, 8, dtype=torch.float64)
    targets = torch.randint(31, (21,))
    x.requires_grad_()
    weight.requires_grad_()
    logits = x @ weight.t()
    whole = F.cross_entropy(logits if softcap is None else softcap * torch.tanh(logits / softcap), targets)
    sliced = sliced_cross_entropy(x, weight, targets, softcap)
    torch.testing.assert_close(sliced, whole)
    torch.testing.assert_close(
        torch.autograd.grad(3 * sliced, (x, weight)), torch.autograd.grad(3 * whole, (x, weight))
    )
    with torch.no_grad():
        torch.testing.assert_close(sliced_cross_entropy(x, weight, targets, softcap), whole)


@pytest.mark.parametrize("change", [{"tied_head": True}, {"tied_head": False, "logit_softcap": 4.0}])
def test_a_large_vocabulary_trains_alike(monkeypatch: pytest.MonkeyPatch, change: dict[str, float]) -> None:
    spec = Spec(n_layers=1, d_model=16, n_heads=2, d_ff=32, seq_len=8, vocab_size=50).replace(**change)
    model, text = Transformer(spec, seed=0).double(), torch.randint(50, (3, 9))
    losses, gradients = [], []
    for limit in (10**9, 0):
        monkeypatch.setattr(transformer, "WHOLE_LOGITS", limit)
        monkeypatch.setattr(cross_entropy, "SLICE_LOGITS", 7 * 50)
        losses.append(model.loss(text[:, :-1], text[:, 1:]))
        gradients.append(torch.autograd.grad(losses[-1], list(model.parameters())))
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_no_whole_logits_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_entropy, "SLICE_LOGITS", 4 * 1000)
    sizes: list[int] = []
    x, weight = torch.randn(64, 8, requires_grad=True), torch.randn(1000, 8, requires_grad=True)

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            sizes.extend(r.numel() for r in tree_leaves(result) if isinstance(r, torch.Tensor))
            return result

    with Sizes():
        sliced_cross_entropy(x, weight, torch.zeros(64, dtype=torch.long), None).backward()
    assert max(sizes) == weight.numel() == 8000


@pytest.mark.parametrize("change", [{}, {"position": Choice("rope")}, {"ffn": Choice("moe")}])
def test_recomputed_activations_give_the_same_bits_and_keep_less(change: dict[str, Choice], tmp_path: Path) -> None:
    spec = Spec(n_layers=3, d_model=16, n_heads=2, d_ff=32, seq_len=8, vocab_size=50).replace(**change)
    model, text = Transformer(spec, seed=0).train(), torch.randint(50, (3, 9))
    kept, losses, gradients = [], [], []
    for again in (False, True):
        model.recompute_activations = again
        saved: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, s=saved: s.append(t.numel()) or t, lambda t: t):
            loss = model.loss(text[:, :-1], text[:, 1:]) + model.auxiliary_loss()
        kept.append(sum(saved))
        losses.append(loss)
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    assert torch.equal(losses[0], losses[1])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    assert kept[1] < 0.5 * kept[0]
