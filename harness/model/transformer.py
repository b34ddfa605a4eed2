"""The decoder-only transformer: embedding, n_layers of (attention, ffn) joined by a residual, head.

It knows the slots and no variant; which layer takes which choices is the spec's to say. Parameter names are the
same whatever fills a slot (`layers.0.attention.q.weight`), which is what lets two arms share their initial values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from harness.model.build import build, shape_of
from harness.model.cross_entropy import WHOLE_LOGITS, sliced_cross_entropy
from harness.model.initialise import initialise
from harness.spec.spec import Spec
from variants.errors import UserError
from variants.slots import Context, MakeNorm, Position, Role, State


class TokenEmbedding(nn.Embedding):
    """Token vectors; with a tied head also the head's matrix."""

    role: Role = "embedding"


class Layer(nn.Module):
    """One attention and one ffn, joined to the residual stream by the residual variant.

    `spec` is that of the layer itself, see `Spec.layer`.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        shape, make_norm = shape_of(spec), cast("MakeNorm", partial(build, spec, "norm"))
        self.attention = build(spec, "attention", shape, make_norm)
        self.ffn = build(spec, "ffn", shape, partial(build, spec, "activation"))
        self.residual = build(spec, "residual", shape, make_norm)

    def forward(self, x: Tensor, context: Context, state: dict[str, State] | None = None) -> Tensor:
        if state is None:
            return self.residual(x, lambda h: self.attention(h, context), self.ffn)
        return self.residual(
            x,
            lambda h: self.attention(h, context, state["attention"]),
            lambda h: self.ffn(h, state["ffn"]) if state["ffn"] else self.ffn(h),
        )

    def new_state(self, batch_size: int, max_len: int, like: Tensor) -> dict[str, State]:
        parts: dict[str, Any] = {"attention": self.attention, "ffn": self.ffn}
        return {
            name: part.new_state(batch_size, max_len, like) if hasattr(part, "new_state") else {}
            for name, part in parts.items()
        }


@dataclass
class DecodingState:
    """What the model remembers of the `length` tokens it has read; room for `max_len`."""

    layers: list[dict[str, State]]
    max_len: int
    length: int = 0


class Transformer(nn.Module):
    """A decoder-only language model built from a spec.

    Args:
        spec: the arm.
        seed: of the initial values; None leaves them undrawn, for counting on the meta device.

    With `recompute_activations` a training forward keeps what enters each layer and nothing within; the backward runs
    the layer again. The same bits, one more forward of the layers, less memory.

    Raises:
        UserError: a variant refuses the sizes or its options.
    """

    def __init__(self, spec: Spec, *, seed: int | None) -> None:
        super().__init__()
        self.spec = spec
        self.recompute_activations = False
        self.embedding = TokenEmbedding(spec.vocab_size, spec.d_model)
        self.position = cast("Position", build(spec, "position", shape_of(spec)))
        self.layers = nn.ModuleList(Layer(spec.layer(i)) for i in range(spec.n_layers))
        ends_with_norm = cast("Layer", self.layers[0]).residual.final_norm
        self.final_norm = build(spec, "norm", spec.d_model) if ends_with_norm else nn.Identity()
        self.head = nn.Linear(spec.d_model, spec.vocab_size, bias=False)
        if spec.tied_head:
            self.head.weight = self.embedding.weight
        if seed is not None:
            initialise(self, seed)

    def forward(
        self, tokens: Int[Tensor, "batch time"], state: DecodingState | None = None
    ) -> Float[Tensor, "batch time vocab"]:
        """Logits of the next token at every position; with a state, the tokens continue what it holds."""
        start = 0 if state is None else state.length
        end = start + tokens.shape[1]
        self.check_length(end, state)
        positions = torch.arange(start, end, device=tokens.device)
        logits = self.run(tokens, positions, end, None if state is None else state.layers)
        if state is not None:
            state.length = end
        return logits

    def run(
        self,
        tokens: Int[Tensor, "batch time"],
        positions: Int[Tensor, "time"],
        num_keys: int,
        memories: list[dict[str, State]] | None = None,
    ) -> Float[Tensor, "batch time vocab"]:
        """Logits of tokens that stand at `positions` and see keys 0..num_keys-1, of which later ones are masked."""
        return self._logits(self._hidden(tokens, positions, num_keys, memories))

    def _hidden(
        self,
        tokens: Int[Tensor, "batch time"],
        positions: Int[Tensor, "time"],
        num_keys: int,
        memories: list[dict[str, State]] | None,
    ) -> Float[Tensor, "batch time d_model"]:
        """What the head reads."""
        x = self.position.embed(self._embed(tokens), positions)  # (B, T, D)
        context = Context(positions, num_keys, self.position.encode(positions, num_keys))
        recompute = self.recompute_activations and self.training and memories is None
        for i, layer in enumerate(self.layers):
            if recompute:
                x = cast("Tensor", checkpoint(layer, x, context, use_reentrant=False))
            else:
                x = layer(x, context, None if memories is None else memories[i])
        return self.final_norm(x)

    def _embed(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time d_model"]:
        x = self.embedding(tokens)
        return x if self.spec.embedding_scale is None else x * self.spec.embedding_scale

    def _logits(self, x: Float[Tensor, "batch time d_model"]) -> Float[Tensor, "batch time vocab"]:
        """The head, and Gemma 2's soft cap: cap tanh(logits / cap) (arXiv:2408.00118, section 2)."""
        logits, cap = self.head(x), self.spec.logit_softcap
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def loss(self, tokens: Int[Tensor, "batch time"], targets: Int[Tensor, "batch time"]) -> Float[Tensor, ""]:
        """Mean cross-entropy, nats per token; over slices of the tokens when the whole logits would be large."""
        if tokens.numel() * self.spec.vocab_size <= WHOLE_LOGITS:
            return F.cross_entropy(self(tokens).flatten(0, 1), targets.flatten())
        self.check_length(tokens.shape[1], None)
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self._hidden(tokens, positions, len(positions), None).flatten(0, 1)
        return sliced_cross_entropy(x, self.head.weight, targets.flatten(), self.spec.logit_softcap)

    def auxiliary_loss(self) -> Tensor | float:
        """Sum of the weighted losses that variants left in the last training forward; 0.0 when there are none."""
        losses = (cast("Any", module).auxiliary_loss for module in self.having("auxiliary_loss"))
        return sum((loss for loss in losses if loss is not None), 0.0)

    def after_step(self) -> None:
        """Let variants that change themselves between steps do so."""
        for module in self.having("after_step"):
            cast("Any", module).after_step()

    def new_state(self, batch_size: int, max_len: int) -> DecodingState:
        """Empty memory for decoding up to `max_len` tokens in each of `batch_size` texts."""
        like = self.embedding.weight
        layers = [cast("Layer", layer).new_state(batch_size, max_len, like) for layer in self.layers]
        return DecodingState(layers, max_len)

    def having(self, attribute: str) -> Iterator[nn.Module]:
        """The modules below this one that define an attribute of their slot's protocol."""
        return (m for m in self.modules() if m is not self and hasattr(m, attribute))

    def check_length(self, length: int, state: DecodingState | None) -> None:
        """Raise `UserError` where a text of `length` tokens is more than the positions or the state hold."""
        if self.position.limit is not None and length > self.position.limit:
            raise UserError(
                f"position={self.spec.position.variant} is defined for {self.position.limit} positions, "
                f"got a text of {length}; shorten the text or choose another position variant"
            )
        if state is not None and length > state.max_len:
            raise UserError(f"the decoding state has room for {state.max_len} tokens, got {length}; make a larger one")
