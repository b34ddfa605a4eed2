"""Claims of equality, checked by computing both sides: Pre-LN as Pre-RMSNorm, decoding with a cache, batch mates.

Numbers are largest absolute differences of logits, or of losses; in fp64 they are rounding, or the claim is false.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from harness.model.convert_norms import to_crms, to_rms, to_trainable_rms
from harness.model.transformer import Transformer
from harness.spec.spec import Choice, Spec

TRAINING_STEPS = 20
"""Of both models side by side (definitions, claim C4)."""

TEXTS = 4
"""Of a batch."""


def moved(spec: Spec, dtype: torch.dtype) -> Transformer:
    """A model as training leaves it: every gain, shift and bias away from its start."""
    model = Transformer(spec, seed=0).to(dtype)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=dtype) + 0.05
    return model.eval()


def text_of(spec: Spec, seed: int = 2, length: int | None = None) -> Tensor:
    """(TEXTS, length) tokens at random; as long as the model was made for when None."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(spec.vocab_size, (TEXTS, length or spec.seq_len), generator=generator)


@torch.no_grad()
def norm_conversion(spec: Spec) -> dict[str, float]:
    """Gaps between a Pre-LN model and its Pre-RMSNorm and Pre-CRMSNorm forms, as functions and in training."""
    found: dict[str, float] = {}
    for dtype in (torch.float64, torch.float32):
        model = moved(spec, dtype)
        rms, crms = to_rms(model), to_crms(model)
        tokens = text_of(spec)
        expected = model(tokens)
        gaps = [(other(tokens) - expected).abs().max().item() for other in (rms, crms)]
        if dtype == torch.float64:
            found |= {"rms_fp64": gaps[0], "crms_fp64": gaps[1], "functions_fp64": max(gaps)}
        else:
            found["relative_fp32"] = max(gaps) / expected.abs().max().item()
    for name, make in OPTIMIZERS.items():
        found[f"training_{name}"] = training_gap(spec, make)
    found["training"] = max(found[f"training_{name}"] for name in OPTIMIZERS)
    return found


OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.1),
}


@torch.enable_grad()
def training_gap(spec: Spec, optimizer: Callable[[Any], torch.optim.Optimizer]) -> float:
    """The largest gap of the losses of a Pre-LN model without shifts and its trainable Pre-RMSNorm form, in fp64."""
    first = moved(spec.replace(norm=Choice("layer", (("bias", False),))), torch.float64)
    second = to_trainable_rms(first)
    histories = []
    for model in (first, second):
        model.train()
        steps = optimizer(model.parameters())
        history = []
        for step in range(TRAINING_STEPS):
            tokens = text_of(spec, seed=100 + step)
            loss = model.loss(tokens, tokens.roll(-1, 1))
            steps.zero_grad()
            loss.backward()
            steps.step()
            history.append(loss.item())
        histories.append(history)
    return max(abs(a - b) for a, b in zip(*histories, strict=True))


CACHED: dict[str, dict[str, Choice]] = {
    "learned": {},
    "rope": {"position": Choice("rope")},
    "alibi": {"position": Choice("alibi")},
    "window": {"position": Choice("rope"), "attention": Choice("window", (("window", 32),))},
    "mla": {"position": Choice("rope"), "attention": Choice("mla")},
    "mixffn": {"ffn": Choice("mixffn")},
    "moe": {"ffn": Choice("moe")},
}
"""Ways to remember: keys and values, a window of them, a compressed vector, a convolution's last inputs."""


@torch.no_grad()
def cached_decoding(spec: Spec) -> dict[str, float]:
    """By variant, the gap between logits decoded token by token with a state and those of one pass, in fp32."""
    found = {name: _decoded_gap(spec.replace(**choices)) for name, choices in CACHED.items()}
    return {**found, "largest": max(found.values())}


def _decoded_gap(spec: Spec) -> float:
    model, length = Transformer(spec, seed=0).eval(), min(64, spec.seq_len)
    tokens = text_of(spec, length=length)
    state = model.new_state(TEXTS, length)
    steps = torch.cat([model(tokens[:, i : i + 1], state) for i in range(length)], dim=1)
    return (steps - model(tokens)).abs().max().item()


@torch.no_grad()
def batch_independence(spec: Spec) -> dict[str, float]:
    """By mixture, how far the logits of a text move with the texts beside it, in fp64."""
    found = {}
    for name, choice in {
        "dropless": Choice("moe"),
        "capacity 1 by sequence": Choice("switch", (("capacity", 1.0),)),
    }.items():
        model = Transformer(spec.replace(ffn=choice), seed=0).double().eval()
        tokens = text_of(spec)
        alone = model(tokens[:1])
        others = torch.cat([tokens[:1], text_of(spec, seed=3)[1:]])
        gaps = [(model(batch)[:1] - alone).abs().max().item() for batch in (tokens, others)]
        found[name] = max(gaps)
    return cast("dict[str, float]", found)
