"""The three things a language model is used for, as calls to be timed: a training step, a prefill, a decoded token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor

from harness.model.transformer import DecodingState, Transformer
from harness.spec.recipe import Recipe
from harness.train.optimizer import make_optimizer
from harness.train.trainer import train_step
from variants.errors import UserError

Kind = Literal["train", "prefill", "decode"]

SMALLEST_CONTEXT = 64
"""Tokens; contexts double from here, or from seq_len where that is less."""

LARGEST_CONTEXT = 8
"""In training lengths."""

FILL_TOKENS = 4096
"""Tokens of one pass while a decoding state is filled. Assumption: its logits fit any device."""


@dataclass(frozen=True)
class Case:
    """`context` is the length of each text: read at once, or, decoding, with the token that is timed."""

    kind: Kind
    batch_size: int
    context: int

    @property
    def tokens(self) -> int:
        """Tokens that one call processes."""
        return self.batch_size * (1 if self.kind == "decode" else self.context)


@dataclass(frozen=True)
class Workload:
    """`prepare` before each block, outside the clock; then `call`, again and again. Training has an optimizer."""

    call: Callable[[], object]
    prepare: Callable[[], object]
    optimizer: torch.optim.Optimizer | None = None


def contexts_of(seq_len: int, largest: int | None = None) -> list[int]:
    """Contexts to decode at: doubling from `SMALLEST_CONTEXT` to `LARGEST_CONTEXT` training lengths."""
    end = largest or LARGEST_CONTEXT * seq_len
    contexts = [min(SMALLEST_CONTEXT, seq_len, end)]
    while contexts[-1] * 2 <= end:
        contexts.append(contexts[-1] * 2)
    return contexts


def refusal(model: Transformer, case: Case) -> str:
    """Why a model has no such case; empty when it has."""
    limit = model.position.limit
    if limit is not None and case.context > limit:
        return f"position={model.spec.position.variant} is defined for {limit} positions"
    if case.kind == "train":
        return ""
    try:
        model.new_state(1, 1)
    except UserError as error:  # a variant that cannot decode says so
        return str(error)
    return ""


def training(model: Transformer, text: Tensor, batch_size: int) -> Workload:
    """A step of the one trainer, at a learning rate of 0: the same work, and the weights stay as they are."""
    recipe = Recipe(lr=0.0, tokens_per_step=batch_size * model.spec.seq_len)
    optimizer = make_optimizer(model, recipe)
    inputs = rows(text, batch_size, model.spec.seq_len + 1)
    batch = (inputs[:, :-1].contiguous(), inputs[:, 1:].contiguous())
    return Workload(lambda: train_step(model, optimizer, batch, recipe, 0, 1), model.train, optimizer)


def prefill(model: Transformer, text: Tensor, case: Case) -> Workload:
    """Reading the prompts into an empty state; the logits of every position are computed, as the model does."""
    state = model.new_state(case.batch_size, case.context)
    tokens = rows(text, case.batch_size, case.context)

    @torch.no_grad()
    def call() -> None:
        state.length = 0
        model(tokens, state)

    return Workload(call, model.eval)


def decoding(model: Transformer, state: DecodingState, text: Tensor, case: Case) -> Workload:
    """One more token of each text; the state is set back before it, so that every call is at the same context."""
    token = rows(text, case.batch_size, 1)

    @torch.no_grad()
    def call() -> None:
        state.length = case.context - 1
        model.forward(token, state)  # not model(...): never compiled, see kernels.KernelMode

    return Workload(call, model.eval)


@torch.no_grad()
def filled_state(model: Transformer, text: Tensor, batch_size: int, max_len: int) -> DecodingState:
    """A state that has read `max_len` - 1 tokens of text, so that routers meet what they would meet."""
    model.eval()
    state = model.new_state(batch_size, max_len)
    tokens = rows(text, batch_size, max_len)[:, :-1]
    for part in tokens.split(max(1, FILL_TOKENS // batch_size), dim=1):
        if part.shape[1]:
            model.forward(part, state)
    return state


def rows(text: Tensor, batch_size: int, length: int) -> Tensor:
    """(batch_size, length) tokens of a text (tokens,), which is repeated where it is too short."""
    repeats = -(-batch_size * length // len(text))
    return text.repeat(repeats)[: batch_size * length].view(batch_size, length)


def weight_bytes(model: Transformer, batch_size: int) -> float:
    """Bytes of weights one decoding pass must read: all but the tables that are looked up and the experts that
    nobody visits (at most batch_size times top_k are; harness/plan/traffic.py)."""
    elements = float(sum(p.numel() for p in model.parameters()))
    tables = [m for m in model.modules() if isinstance(m, torch.nn.Embedding)]
    elements -= sum(t.weight.numel() for t in tables if t.weight is not model.head.weight)
    for module in map(_any, model.having("idle_params")):
        idle, num_experts, visits = module.idle_params(), module.num_experts, module.visits
        if num_experts > visits:
            unread = num_experts - min(num_experts, visits * batch_size)
            elements -= idle * unread / (num_experts - visits)
    return elements * model.embedding.weight.element_size()


def _any(module: object) -> Any:
    return cast("Any", module)
