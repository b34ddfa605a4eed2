"""What each slot's constructor is handed and what its forward must do.

| slot       | constructor                              | forward                                        |
|------------|------------------------------------------|------------------------------------------------|
| norm       | (size, *, options)                       | (x) -> x, over the last dimension              |
| activation | (*, options)                             | (up) -> hidden, or (gate, up) -> hidden        |
| position   | (shape, *, options)                      | hooks `embed` and `encode`, see `Position`     |
| ffn        | (shape, make_activation, *, options)     | (x[, state]) -> what is added to the residual  |
| attention  | (shape, make_norm, *, options)           | (x, context[, state]) -> likewise              |
| residual   | (shape, make_norm, *, options)           | (x, attention, ffn) -> x                       |

Keyword-only arguments are the options a user may set, `ffn.num_experts=8`; annotate each with
int, float, bool, str or a Literal. A variant obeys five rules beside its formula:

- A module that owns a matrix says its `role`, because the harness draws every initial value
  (`Linear` below does both). Parameters with one dimension keep the constant the constructor gave.
- A module that does FLOPs outside `nn.Linear` children declares them in `flops(seq_len)`.
- A variant that must remember earlier tokens when decoding defines `new_state` and takes `state`.
- A variant with a loss of its own leaves it, weighted, in `self.auxiliary_loss` after each training
  forward; one that changes itself between steps defines `after_step()`. Counts over the batch that are not averaged
  go through `variants/whole_batch.py`, for a run whose batch is split over processes.
- A variant never rescales its own width: `shape.d_ff` is what the matcher solved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Role = Literal["embedding", "input", "output", "router", "conv", "constant"]
"""How a matrix starts; the distributions are in `harness/model/initialise.py`, and nowhere else."""

State = dict[str, Tensor]
"""What one module remembers while decoding, preallocated by its `new_state`."""


@dataclass(frozen=True)
class Shape:
    """The sizes a variant is built to. `d_ff` is the hidden width of one FFN, or of one expert."""

    d_model: int
    n_layers: int
    n_heads: int
    d_head: int
    d_ff: int
    seq_len: int
    vocab_size: int
    bias: bool


@dataclass(frozen=True)
class Flops:
    """Forward FLOPs per token, averaged over a causal sequence; one multiply-add is 2 FLOPs.

    The first four are model FLOPs, the quantity that is matched. `attention_masked` is what a
    kernel that computes the full square of scores does beside them. The last three are counted
    apart, one FLOP an elementary operation.
    """

    matmul: float = 0.0
    attention: float = 0.0
    conv: float = 0.0
    router: float = 0.0
    attention_masked: float = 0.0
    norm: float = 0.0
    activation: float = 0.0
    rotation: float = 0.0

    def __add__(self, other: Flops) -> Flops:
        return Flops(*(getattr(self, name) + getattr(other, name) for name in _KINDS))

    def __mul__(self, factor: float) -> Flops:
        return Flops(*(getattr(self, name) * factor for name in _KINDS))

    @property
    def model(self) -> float:
        """Model FLOPs: the matmul-like terms, attention counted causal."""
        return self.matmul + self.attention + self.conv + self.router

    @property
    def pointwise(self) -> float:
        """Norms, activations and rotations: never matched, always shown."""
        return self.norm + self.activation + self.rotation


_KINDS = tuple(field.name for field in fields(Flops))  # a plan of 1,000 arms adds 100,000 of them


class Linear(nn.Linear):
    """y = W x (+ b). A projection that says its role: `input` reads the residual stream or a hidden
    vector, `output` writes to the residual stream, `router` scores experts."""

    def __init__(self, fan_in: int, fan_out: int, *, bias: bool, role: Role = "input") -> None:
        super().__init__(fan_in, fan_out, bias=bias)
        self.role: Role = role


@dataclass(frozen=True)
class Encoding:
    """What a position variant asks of attention for one forward pass, shared by all layers.

    `rotate` turns queries and keys (batch, heads, time, d_head) at the positions of this pass;
    `bias` (heads, queries, keys) is added to the scaled scores.
    """

    rotate: Callable[[Tensor], Tensor] | None = None
    bias: Tensor | None = None


@dataclass(frozen=True)
class Context:
    """Where the tokens of one forward pass stand: queries at `positions`, keys at 0..num_keys-1."""

    positions: Int[Tensor, "time"] | Int[Tensor, "batch time"]
    num_keys: int
    encoding: Encoding


class Position(nn.Module):
    """The base of every position variant: it does nothing. Override the hooks that are needed.

    `limit` is the number of positions it is defined for, None when there is no end.
    """

    limit: int | None = None

    def embed(
        self, x: Float[Tensor, "batch time d_model"], positions: Int[Tensor, "..."]
    ) -> Float[Tensor, "batch time d_model"]:
        """The embedded tokens with their positions added, where a variant adds a vector."""
        return x

    def encode(self, positions: Int[Tensor, "..."], num_keys: int) -> Encoding:
        """The rotation of q and k and the bias on scores for queries at `positions`."""
        return Encoding()


class Activation(Protocol):
    """Elementwise; `num_projections` is 1, or 2 for the gated ones, whose first argument is the gate."""

    num_projections: int
    flops_per_unit: float

    def __call__(self, *projections: Tensor) -> Tensor: ...


MakeNorm = Callable[[int], nn.Module]
"""Builds the study's norm for a size: d_model in the residual, d_head for QK-norm."""

MakeActivation = Callable[[], nn.Module]


class Stateful(Protocol):
    """An attention or ffn variant that remembers tokens while decoding."""

    def new_state(self, batch_size: int, max_len: int, like: Tensor) -> State:
        """Empty memory for `max_len` tokens, with the device and dtype of `like`."""
        ...


class Residual(Protocol):
    """How sub-layers join the residual stream. `final_norm`: whether the stack ends with a norm."""

    final_norm: bool

    def __call__(self, x: Tensor, attention: Callable[[Tensor], Tensor], ffn: Callable[[Tensor], Tensor]) -> Tensor: ...


def causal_keys(seq_len: int, window: int | None = None) -> float:
    """Mean number of keys a query may see: (T+1)/2, or with a window W, (W(W+1)/2 + (T-W)W)/T."""
    if window is None or window >= seq_len:
        return (seq_len + 1) / 2
    return (window * (window + 1) / 2 + (seq_len - window) * window) / seq_len


def visible(positions: Int[Tensor, "..."], num_keys: int, window: int | None = None) -> torch.Tensor:
    """True where key j may be seen from query i: i - window < j <= i. Shape (..., queries, keys)."""
    keys = torch.arange(num_keys, device=positions.device)
    mask = keys <= positions[..., None]
    if window is not None:
        mask = mask & (keys > positions[..., None] - window)
    return mask
