"""Whole models against transformers, both directions: the same logits and gradients from the same checkpoint.

transformers computes norms, rotations, routers and softmax in fp32 whatever the model's dtype. For the comparison at
fp64 its modules are made to read `torch.float32` as fp64 (`widened`); their code is otherwise untouched.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from harness.model.huggingface.checkpoint import family_of, load_huggingface, save_huggingface
from harness.model.transformer import Transformer
from harness.spec.presets import preset
from harness.spec.sizes import resize
from harness.spec.spec import Choice, Spec, choose

transformers = pytest.importorskip("transformers")

VOCAB, LENGTH = 61, 24

Make = Callable[[], Any]


def tokens() -> Tensor:
    return torch.randint(VOCAB, (2, LENGTH), generator=torch.Generator().manual_seed(1))


def close(ours: Tensor, other: Tensor, tolerance: float) -> None:
    """Equal within `tolerance` of the largest entry."""
    scale = max(1.0, other.abs().max().item())
    assert (ours - other).abs().max().item() <= tolerance * scale


def loss_of(logits: Tensor) -> Tensor:
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens()[:, 1:].flatten())


def compare(oracle: Any, ours: Transformer, folder: Path, tolerance: float, gradient_tolerance: float) -> None:
    ours.eval()
    other, mine = oracle(tokens()).logits, ours(tokens())
    close(mine, other, tolerance)
    loss_of(other).backward()
    loss_of(mine).backward()
    links = family_of(ours.spec).links(ours)
    grads = {n: torch.zeros_like(t) if t.grad is None else t.grad for n, t in ours.state_dict(keep_vars=True).items()}
    grads = {n: g.to(mine.dtype) for n, g in grads.items() if n in links.names}
    # what links say of values they say of gradients, less what they say of zero (Gemma's gains)
    zero = links.to_theirs({n: torch.zeros_like(g) for n, g in grads.items()})
    expected = gradients(oracle, folder)
    for name, gradient in links.to_theirs(grads).items():
        close(gradient - zero[name], expected[name], gradient_tolerance)


def gradients(oracle: Any, folder: Path) -> dict[str, Tensor]:
    """The gradients of a transformers model under the names of its checkpoint."""
    with torch.no_grad():
        for tensor in oracle.state_dict(keep_vars=True).values():
            if tensor.is_floating_point():
                tensor.copy_(torch.zeros_like(tensor) if tensor.grad is None else tensor.grad)
    oracle.save_pretrained(folder)
    return load_file(folder / "model.safetensors")


def test_their_checkpoint_read_by_us(theirs: Make, tmp_path: Path) -> None:
    oracle = theirs()
    oracle.save_pretrained(tmp_path / "model")
    ours = load_huggingface(tmp_path / "model")
    compare(oracle, ours, tmp_path / "gradients", 1e-5, 1e-4)


def test_our_checkpoint_read_by_them(theirs: Make, architecture: str, tmp_path: Path) -> None:
    oracle = theirs()
    oracle.save_pretrained(tmp_path / "first")
    ours = load_huggingface(tmp_path / "first")
    family = save_huggingface(ours, tmp_path / "second")
    assert family.architecture == architecture
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "second", attn_implementation="eager").eval()
    assert type(again).__name__ == architecture
    with torch.no_grad():
        close(again(tokens()).logits, oracle(tokens()).logits, 1e-5)
    assert load_huggingface(tmp_path / "second").spec == ours.spec


class Wide:
    """`torch` with fp64 where the code says fp32."""

    float32 = float = torch.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@pytest.fixture
def widened(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in list(sys.modules.items()):
        ours = not name.startswith(("transformers.models.", "transformers.modeling_", "transformers.masking"))
        if not ours and getattr(module, "torch", None) is torch:
            monkeypatch.setattr(module, "torch", Wide())
    monkeypatch.setattr(Tensor, "float", Tensor.double)


def test_fp64(theirs: Make, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    theirs()  # imports the module that is then widened
    request.getfixturevalue("widened")
    oracle = theirs().double()
    oracle.save_pretrained(tmp_path / "model")
    ours = load_huggingface(tmp_path / "model", dtype=torch.float64)
    compare(oracle, ours, tmp_path / "gradients", 1e-10, 1e-9)


EXPORTED = (
    "gpt2", "llama", "llama-3.1-8b", "minimind2", "mixtral-8x7b", "deepseek-v2", "deepseek-v3", "gemma-2-2b",
    "qwen3-0.6b", "olmo2-7b", "gpt-neox-20b",
)  # fmt: skip


@pytest.mark.parametrize("name", EXPORTED)
def test_trained_presets_are_read_by_them(name: str, tmp_path: Path) -> None:
    """A preset at a small size, with the harness's own initial values, as a study would export it."""
    spec = resize(preset(name), "3x64", heads=4, seq_len=LENGTH).replace(vocab_size=VOCAB)
    ours = Transformer(spec, seed=3).eval()
    save_huggingface(ours, tmp_path)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager").eval()
    assert sum(p.numel() for p in again.parameters()) == sum(p.numel() for p in ours.parameters())
    with torch.no_grad():
        close(again(tokens()).logits, ours(tokens()), 1e-5)


def test_interleaved_and_ntk_llama_is_written_as_a_half_split_one(tmp_path: Path) -> None:
    position = choose("rope", layout="interleaved", scaling="ntk", factor=2.0)
    spec = Spec(
        norm=Choice("rms"), activation=Choice("swiglu"), position=position, bias=False, vocab_size=VOCAB, seq_len=LENGTH
    )
    ours = Transformer(spec, seed=0).eval()
    save_huggingface(ours, tmp_path)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager").eval()
    with torch.no_grad():
        close(again(tokens()).logits, ours(tokens()), 1e-5)
