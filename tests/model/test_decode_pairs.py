"""Cached decoding of every pair of variants from any two slots, as it is generated with: read, then replayed.

Six slots have some 1,000 pairs of variants; a covering set of about 100 models has each of them at least once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch

from harness.model import decode
from harness.model.decode import Reader, Sampling, generate
from harness.model.transformer import Transformer
from harness.spec.spec import Choice, Spec
from variants import registry

SLOTS = ("norm", "activation", "position", "ffn", "attention", "residual")
TIME, PROMPT = 8, 4
OPTIONS: dict[tuple[str, str], dict[str, int | float]] = {
    ("attention", "window"): {"window": 3},  # so that a text is longer than what a token sees
    ("norm", "prms"): {"p": 0.5},  # the default 1 / 16 would divide 16 entries by the size of one
    ("ffn", "switch"): {"capacity": 1.5, "num_experts": 4},
    ("ffn", "moe"): {"num_experts": 4},
}
Mix = dict[str, str]
Pair = tuple[tuple[str, str], tuple[str, str]]


def causal(slot: str) -> list[str]:
    return [name for name in registry.names(slot) if not getattr(registry.get(slot, name), "leaks", False)]


def pairs_of(mix: Mix) -> set[Pair]:
    return set(itertools.combinations(((slot, mix[slot]) for slot in SLOTS if slot in mix), 2))


def covering() -> Iterator[Mix]:
    """Models that have every pair between them: each begins with a pair that is left and takes, slot by slot, the
    variant that adds most of the others.
    """
    left = set().union(*map(pairs_of, (dict(zip(SLOTS, names, strict=True)) for names in _all())))
    while left:
        mix = dict(min(left))
        for slot in SLOTS:
            mix.setdefault(slot, max(causal(slot), key=lambda name: len(pairs_of({**mix, slot: name}) & left)))
        left -= pairs_of(mix)
        yield mix


def _all() -> Iterator[tuple[str, ...]]:
    """Every pair, in mixes whose other slots hold their first variant."""
    first = [causal(slot)[0] for slot in SLOTS]
    for i, j in itertools.combinations(range(len(SLOTS)), 2):
        for a, b in itertools.product(causal(SLOTS[i]), causal(SLOTS[j])):
            yield tuple(a if k == i else b if k == j else first[k] for k in range(len(SLOTS)))


def chosen(slot: str, name: str) -> Choice:
    required = getattr(registry.get(slot, name), "contract_options", {})
    return Choice(name, tuple(sorted({**required, **OPTIONS.get((slot, name), {})}.items())))


def model_of(mix: Mix) -> Transformer:
    choices = {slot: chosen(slot, name) for slot, name in mix.items()}
    small = Spec(n_layers=2, d_model=16, n_heads=4, d_ff=16, seq_len=2 * TIME, vocab_size=31)
    model = Transformer(small.replace(**choices), seed=0).eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in model.parameters():  # so that no table, gain or bias is trivially 0 or 1
            p.add_(torch.randn(p.shape, generator=generator), alpha=0.1)
    return model


@torch.no_grad()
def reads_as_a_whole(model: Transformer, mix: Mix) -> None:
    """A prompt and then token by token, against one pass; logits here are of size 1 to 10."""
    tokens = torch.randint(31, (2, TIME), generator=torch.Generator().manual_seed(1))
    whole, reader = model(tokens), Reader(model, 2, TIME)
    scale = max(1.0, whole.abs().max().item())
    for start, end in ((0, PROMPT), *((t, t + 1) for t in range(PROMPT, TIME))):
        rows = reader.read(tokens[:, start:end].tolist(), Sampling())
        error = (torch.stack([torch.as_tensor(row) for row in rows]) - whole[:, end - 1]).abs().max().item()
        assert error <= 1e-5 * scale, f"{mix}, after {end} tokens: {error:.2g} of {scale:.2g}"


@torch.no_grad()
def writes_the_likeliest(model: Transformer, mix: Mix) -> None:
    """Prompts of different lengths in one batch: each new token is the likeliest of a pass over its text alone."""
    prompts = [[3], [4, 5, 6]]
    for prompt, new in zip(prompts, generate(model, prompts, 3), strict=True):
        likeliest = model(torch.tensor([prompt + new]))[0].argmax(-1)
        assert new == likeliest[len(prompt) - 1 : -1].tolist(), mix


def test_every_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "PAYS", 1)
    for mix in covering():
        model = model_of(mix)
        reads_as_a_whole(model, mix)
        writes_the_likeliest(model, mix)


def test_the_covering_set_has_every_pair() -> None:
    found = set().union(*map(pairs_of, covering()))
    sizes = [len(causal(slot)) for slot in SLOTS]
    assert len(found) == sum(a * b for a, b in itertools.combinations(sizes, 2))
