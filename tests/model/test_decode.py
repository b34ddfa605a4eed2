"""Cached decoding equals uncached for every trio of variants; greedy, sampled and batched generation."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from harness.model import decode
from harness.model.decode import GREEDY, Sampling, draw, generate, generator_for, probabilities, room, stream
from harness.model.transformer import Transformer
from harness.spec.spec import Choice, Spec, choose
from variants import registry
from variants.errors import UserError

TIME = 7
SMALL: dict[tuple[str, str], dict[str, int | float]] = {
    ("attention", "window"): {"window": 3},
    ("ffn", "switch"): {"capacity": 1.5, "num_experts": 4},
    ("ffn", "moe"): {"num_experts": 4},
}
"""Options that make a variant's memory matter within `TIME` tokens."""


@pytest.fixture(autouse=True)
def always_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "PAYS", 1)


def leaks(ffn: str) -> bool:
    return "leaks" in registry.options("ffn", ffn)


def chosen(slot: str, name: str) -> Choice:
    return choose(name, **SMALL.get((slot, name), {}))


def model_of(position: str = "rope", attention: str = "mha", ffn: str = "dense") -> Transformer:
    spec = Spec(
        position=chosen("position", position),
        attention=chosen("attention", attention),
        ffn=chosen("ffn", ffn),
        n_layers=2,
        d_model=16,
        n_heads=4,
        d_ff=16,
        seq_len=TIME,
        vocab_size=31,
    )
    model = Transformer(spec, seed=0).eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in model.parameters():  # so that no table, gain or bias is trivially 0 or 1
            p.add_(torch.randn(p.shape, generator=generator), alpha=0.2)
    return model


def some_tokens(batch_size: int, time: int) -> Tensor:
    return torch.randint(31, (batch_size, time), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
@pytest.mark.parametrize("ffn", [n for n in registry.names("ffn") if not leaks(n)])
@pytest.mark.parametrize("position", registry.names("position"))
def test_cached_equals_uncached_at_every_step(position: str, ffn: str) -> None:
    tokens = some_tokens(2, TIME)
    for attention in registry.names("attention"):
        model = model_of(position, attention, ffn)
        whole, state = model(tokens), model.new_state(2, TIME)
        parts, expected = tokens.split([3, 1, 1, 1, 1], dim=1), whole.split([3, 1, 1, 1, 1], dim=1)
        for i in range(len(parts)):
            error = (model(parts[i], state) - expected[i]).abs().max().item()
            assert error <= 1e-5, f"{position} {attention} {ffn}, pass {i}: {error}"


@pytest.mark.parametrize("ffn", [n for n in registry.names("ffn") if leaks(n)])
def test_a_variant_that_sees_the_future_cannot_decode(ffn: str) -> None:
    model = Transformer(Spec(ffn=choose(ffn, leaks=True), n_layers=1, d_model=16, n_heads=2), seed=0)
    with pytest.raises(UserError, match="cannot decode"):
        generate(model, [[1]], 2)


@torch.no_grad()
def greedy_by_full_passes(model: Transformer, prompt: Sequence[int], max_new_tokens: int) -> list[int]:
    text = list(prompt)
    for _ in range(max_new_tokens):
        text.append(int(model(torch.tensor([text]))[0, -1].argmax()))
    return text[len(prompt) :]


@pytest.mark.parametrize("ffn", ["dense", "mixffn", "switch"])
def test_greedy_is_the_argmax_of_full_passes(ffn: str) -> None:
    model = model_of(ffn=ffn)
    assert generate(model, [[4, 5, 6]], 9) == [greedy_by_full_passes(model, [4, 5, 6], 9)]


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(0.7, top_k=9, top_p=0.9, seed=5)], ids=["greedy", "sampled"])
@pytest.mark.parametrize(("attention", "ffn"), [("mha", "dense"), ("window", "mixffn"), ("mla", "switch")])
def test_a_batch_gives_what_each_prompt_gives_alone(attention: str, ffn: str, sampling: Sampling) -> None:
    model = model_of(attention=attention, ffn=ffn)
    prompts = [[3], [4, 5, 6, 7, 8], [9, 10], [4, 5, 6, 7, 8], [30, 29, 28, 27]]
    alone = [generate(model, [prompt], 6, sampling)[0] for prompt in prompts]
    assert generate(model, prompts, 6, sampling) == alone
    assert alone[1] == alone[3]
    assert [list(stream(model, prompt, 6, sampling)) for prompt in prompts] == alone


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(0.7, seed=5)], ids=["greedy", "sampled"])
@pytest.mark.parametrize("ffn", ["mixffn", "moe"])
def test_a_replayed_step_writes_what_the_model_does(
    ffn: str, sampling: Sampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, prompts = model_of(attention="gqa", ffn=ffn), [[3], [4, 5, 6]]
    replayed = generate(model, prompts, 20, sampling)
    monkeypatch.setattr(decode, "PAYS", 10**6)
    assert generate(model, prompts, 20, sampling) == replayed


def test_a_text_ends_before_its_stop_token_and_others_go_on() -> None:
    model = model_of()
    first, second = generate(model, [[3], [9, 10]], 8)
    stop = first[2]
    assert stop not in second
    assert generate(model, [[3], [9, 10]], 8, stop_id=stop) == [first[: first.index(stop)], second]


def test_the_same_seed_repeats_and_others_differ() -> None:
    model = model_of()
    texts = [tuple(generate(model, [[1, 2]], 12, Sampling(seed=seed))[0]) for seed in (0, 0, 1, 2)]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3
    state = torch.get_rng_state()
    generate(model, [[1, 2]], 3, Sampling())
    assert torch.equal(state, torch.get_rng_state()), "the global generator was used"


def brute_force(logits: list[float], sampling: Sampling) -> list[float]:
    """The definition, by sorting and looping."""
    weights = torch.tensor(logits, dtype=torch.float64).div(sampling.temperature).exp().tolist()
    order = sorted(range(len(logits)), key=lambda i: (-weights[i], i))[: sampling.top_k]
    total = sum(weights[i] for i in order)
    kept, mass = [], 0.0
    for i in order:
        kept.append(i)
        mass += weights[i] / total
        if mass >= (sampling.top_p or 1.1):
            break
    total = sum(weights[i] for i in kept)
    return [weights[i] / total if i in kept else 0.0 for i in range(len(logits))]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("top_k", [None, 1, 4, 100])
@pytest.mark.parametrize("top_p", [None, 1e-9, 0.5, 0.9, 1.0])
def test_top_k_and_top_p_against_brute_force(temperature: float, top_k: int | None, top_p: float | None) -> None:
    logits = torch.tensor([0.3, -1.0, 2.0, 2.0, 0.0, -3.0, 1.5, 0.3])
    sampling = Sampling(temperature, top_k, top_p)
    expected = torch.tensor(brute_force(logits.tolist(), sampling), dtype=torch.float64)
    torch.testing.assert_close(probabilities(logits, sampling), expected)


def test_draws_follow_the_distribution() -> None:
    logits, sampling = torch.tensor([0.0, 1.0, -torch.inf, 0.5]), Sampling(top_k=3)
    generator = generator_for(0, [1])
    counts = torch.zeros(4)
    for _ in range(4000):
        counts[draw(logits, sampling, generator)] += 1
    p = probabilities(logits, sampling)
    assert counts[2] == 0
    deviation = (counts / 4000 - p).abs().max().item()
    assert deviation < 4 * (0.25 / 4000) ** 0.5  # four standard errors


def test_greedy_takes_the_first_of_equals_and_is_a_distribution() -> None:
    logits = torch.tensor([1.0, 3.0, 3.0])
    assert draw(logits, GREEDY, generator_for(0, [1])) == 1
    assert probabilities(logits, GREEDY).tolist() == [0.0, 1.0, 0.0]


def test_a_text_may_fill_the_model_and_not_more() -> None:
    model = model_of(position="learned")
    assert room(model, 3) == 5
    assert len(generate(model, [[1, 2, 3]], 5)[0]) == 5  # the last one is written and never read
    for prompt, new in (([1, 2, 3], 6), ([1] * 8, 1)):
        with pytest.raises(UserError, match=f"defined for 7 positions, got a prompt of {len(prompt)} tokens and {new}"):
            generate(model, [prompt], new)
    assert room(model_of(position="rope"), 10**6) is None


def test_bad_input_is_said_in_a_sentence() -> None:
    model = model_of()
    for prompts, new, match in (([[]], 1, "at least one token"), ([[1]], -1, "max_new_tokens must be")):
        with pytest.raises(UserError, match=match):
            generate(model, prompts, new)
    for wrong, match in (({"temperature": -1}, "0 .greedy. or more"), ({"top_k": 0}, "top_k"), ({"top_p": 0}, "top_p")):
        with pytest.raises(UserError, match=match):
            Sampling(**wrong)
    assert generate(model, [], 3) == []
    assert generate(model, [[1], [2]], 0) == [[], []]


def test_parameters_and_mode_are_left_alone() -> None:
    model = model_of(ffn="moe")
    before = [p.clone() for p in model.parameters()]
    text = generate(model, [[1]], 4)[0]
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert not any(p.grad is not None for p in model.parameters())
    assert list(itertools.islice(stream(model, [1], 4), 2)) == text[:2]
