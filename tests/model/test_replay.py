"""A replayed step equals the uncached model for every pair of slots, and what cannot be replayed is told apart."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import harness.model.replay as replay
from harness.model.replay import Step, Tape
from harness.model.transformer import Transformer
from harness.spec.spec import Choice, Spec, choose
from variants import registry
from variants.errors import UserError

TIME = 7
SLOTS = ("position", "attention", "ffn", "norm", "residual")
SMALL: dict[tuple[str, str], dict[str, Any]] = {
    ("attention", "window"): {"window": 3},
    ("attention", "mla"): {"q_rank": 5},
    ("ffn", "switch"): {"capacity": 1.5, "num_experts": 4},
    ("ffn", "moe"): {"num_experts": 4},
    ("norm", "prms"): {"p": 0.5},  # of 16 entries one is left by default, and dividing by it magnifies any rounding
}
"""Options that make a variant's memory matter within `TIME` tokens."""


ELSEWHERE = torch.ones(3)
"""A tensor that is no part of any model."""


def choices(slot: str) -> list[Choice]:
    names = (name for name in registry.names(slot) if "leaks" not in registry.options(slot, name))
    return [choose(name, **SMALL.get((slot, name), {})) for name in names]


def model_of(**changes: Any) -> Transformer:
    base = Spec(position=Choice("rope"), n_layers=2, d_model=16, n_heads=4, d_ff=16, seq_len=TIME, vocab_size=31)
    model = Transformer(base.replace(**changes), seed=0).eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in model.parameters():  # so that no table, gain or bias is trivially 0 or 1
            p.add_(torch.randn(p.shape, generator=generator), alpha=0.2)
    return model


def some_tokens(batch_size: int = 2, time: int = TIME) -> Tensor:
    return torch.randint(31, (batch_size, time), generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def errors(model: Transformer, tokens: Tensor, prompt: int = 2) -> tuple[list[float], Step]:
    """How far each step is from the uncached model, and the step that took them."""
    whole, state = model(tokens), model.new_state(len(tokens), tokens.shape[1])
    found = [(model(tokens[:, :prompt], state) - whole[:, :prompt]).abs().max().item()]
    step = Step(model, state)
    for t in range(prompt, tokens.shape[1]):
        found.append((step(tokens[:, t : t + 1]) - whole[:, t : t + 1]).abs().max().item())
    return found, step


@pytest.mark.parametrize("pair", list(itertools.combinations(SLOTS, 2)), ids="-".join)
def test_every_step_equals_the_uncached_model(pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "KEYS", 4)  # so that the cache grows on the way
    for i, (first, second) in enumerate(itertools.product(choices(pair[0]), choices(pair[1]))):
        found, step = errors(model_of(**{pair[0]: first, pair[1]: second}), some_tokens(1 + i % 2))
        assert max(found) <= 1e-5, f"{first.variant} {second.variant}: {found}"
        assert step.num_keys == TIME or step.refusal


def test_only_routers_that_look_at_their_choice_are_run_as_they_are() -> None:
    refused = {
        (slot, choice.variant): step.refusal
        for slot in SLOTS
        for choice in choices(slot)
        for _, step in [errors(model_of(**{slot: choice}), some_tokens(1, 4))]
        if step.refusal
    }
    assert {slot for slot, _ in refused} == {"ffn"}
    assert ("ffn", "dense") not in refused
    assert ("ffn", "mixffn") not in refused
    assert all("looks into a tensor" in reason for reason in refused.values()), refused


@pytest.mark.parametrize(
    "changes",
    [
        {"attention": choose("gqa", n_kv_heads=2, qk_norm="head", softcap=5.0)},
        {"attention": choose("mha", qk_norm="full")},
        {"position": choose("rope", layout="interleaved", partial=0.5)},
        {"position": choose("rope", scaling="yarn", factor=4.0)},
        {"ffn": choose("mixffn", on="both"), "activation": Choice("swiglu")},
        {"logit_softcap": 3.0, "embedding_scale": 2.0, "tied_head": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("batch_size", [1, 2])
def test_options(changes: dict[str, Any], batch_size: int) -> None:
    found, step = errors(model_of(**changes), some_tokens(batch_size))
    assert max(found) <= 1e-5
    assert not step.refusal


@torch.inference_mode()
def test_nothing_is_allocated_for_the_cache_and_one_recording_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokens = model_of(ffn=Choice("mixffn")), some_tokens()
    passes: list[int] = []
    run = model.run
    monkeypatch.setattr(model, "run", lambda *args: passes.append(1) or run(*args))
    state = model.new_state(2, TIME)
    where = [t.data_ptr() for layer in state.layers for part in layer.values() for t in part.values()]
    step = Step(model, state)
    for t in range(TIME):
        step(tokens[:, t : t + 1])
    assert where == [t.data_ptr() for layer in state.layers for part in layer.values() for t in part.values()]
    assert len(passes) == 1
    assert state.length == TIME
    with pytest.raises(UserError, match=f"room for {TIME} tokens"):
        step(tokens[:, :1])


class Counting(nn.Module):
    """An ffn that replaces one piece of its memory, and reads another before and after it writes it thrice."""

    def forward(self, x: Tensor, state: dict[str, Tensor] | None = None) -> Tensor:
        assert state is not None
        one = x.new_ones(())
        before = state["count"] * one
        for _ in range(3):
            state["count"].add_(one)
        state["sum"] = state["sum"] + x[:, 0]
        return x + before + state["count"] * one + state["sum"][:, None]

    def new_state(self, batch_size: int, max_len: int, like: Tensor) -> dict[str, Tensor]:
        return {"count": like.new_zeros(()), "sum": like.new_zeros(batch_size, like.shape[1])}


@torch.inference_mode()
def test_memory_that_is_replaced_or_written_thrice() -> None:
    model, tokens = model_of(), some_tokens()
    model.layers[1].ffn = Counting()
    state, other = model.new_state(2, TIME), model.new_state(2, TIME)
    step = Step(model, state)
    for t in range(TIME):
        expected = model.forward(tokens[:, t : t + 1], other)
        torch.testing.assert_close(step(tokens[:, t : t + 1]), expected, rtol=0, atol=1e-5)
    assert not step.refusal
    assert state.layers[1]["ffn"]["count"].item() == 3 * TIME


def taped(function: Any, *more: tuple[Tensor, Any]) -> str:
    """The refusal of a step that computes `function(weight, token)`."""
    weight, token = torch.ones(3), torch.tensor([1.0, 2.0, 0.0])
    with Tape([(weight, replay.NOTHING), (token, replay.TOKEN), *more]) as tape:
        function(weight, token)
    return tape.refusal or replay.shaped_by_values(tape.calls)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda w, t: w * int(t.sum()), "looks into"),
        (lambda w, t: w if t[0] > 0 else t, "looks into"),
        (lambda w, t: t.tolist(), "looks into"),
        (lambda w, t: w.add_(t), "writes into"),
        (lambda w, t: torch.add(w, t, out=torch.empty(3)), "writes into"),
        (lambda w, t: w[t > 0] * 2, "shape hangs on values"),
        (lambda w, t: t.nonzero() * 2, "shape hangs on values"),
        (lambda w, t: torch.where(t > 0)[0] + 1, "shape hangs on values"),
        (lambda w, t: torch.repeat_interleave(w, t.long()) + 1, "shape hangs on values"),
        (lambda w, t: torch.nn.functional.one_hot(t.long()) + 1, "shape hangs on values"),
        (lambda w, t: t + ELSEWHERE, "neither a weight"),
    ],
)
def test_what_cannot_be_replayed(function: Any, reason: str) -> None:
    assert reason in taped(function)


@pytest.mark.parametrize(
    "function",
    [
        lambda w, t: w.view(t.shape) + t.size(0) + len(t),
        lambda w, t: torch.where(t > 0, w, t),
        lambda w, t: ~(t > 0) & (w > 0),
        lambda w, t: torch.zeros_like(t).add_(w),
        lambda w, t: torch.nn.functional.one_hot(t.long(), 4) + 1,
        lambda w, t: t.long().bincount(minlength=3),  # nobody reads it
        lambda w, t: w * int(w.sum()),  # of weights alone
    ],
)
def test_what_can(function: Any) -> None:
    assert taped(function) == ""
