"""Models of one shape as one: every parameter, buffer and moment has the runs as its first dimension.

`torch.func.vmap` maps the forward and the loss over that dimension; the backward of the sum of the losses gives each
run its own gradient, since no run's loss depends on another's weights. Clipping takes each run's own norm, and AdamW
is elementwise, so a stack is its runs trained apart, but for the order in which products are summed.

A run keeps its model and its optimizer. Their tensors become slices of the stack's, so a run's checkpoint and its
weights are written and read as those of any other run.
"""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from harness.model.transformer import Transformer
from harness.spec.recipe import Recipe
from harness.train.adamw import clip_factors
from harness.train.compiled import Losses, plain_numbers
from harness.train.optimizer import make_optimizer
from harness.train.schedule import learning_rate
from variants.errors import UserError

PREFIX = "model."
"""Of the parameters' names within `Losses`."""

NUMBERS_CHANGE = (
    "a module's own numbers change between steps, and a stack has one of them for all runs; use --stack off"
)


class StackStep(Protocol):
    """One step of every run of a stack. `norms` (runs,) are those of the last step's gradients, before clipping."""

    norms: Tensor

    def __call__(self, batch: tuple[Tensor, Tensor], step: int) -> Tensor:
        """Losses (runs,) in nats per token before the step, detached, from tokens and targets (runs, B, T)."""
        ...

    def settle(self, steps_done: int) -> None:
        """Before a checkpoint: each run's optimizer holds its moments and its count of steps."""
        ...


class Stack:
    """The eager step of several runs at once.

    Args:
        models: of one spec, on one device; each becomes a view of the stack.
        optimizers: of the models, with the moments to begin from.
        rows: of the stack, at least one a model. The rows that are left over repeat the last run, and are dropped:
            the bits of a run depend on how many rows there are, and not on what the others hold.
    """

    def __init__(
        self,
        models: Sequence[Transformer],
        optimizers: Sequence[torch.optim.Optimizer],
        recipe: Recipe,
        num_steps: int,
        rows: int | None = None,
    ) -> None:
        self.models, self.runs, self.recipe, self.num_steps = models, optimizers, recipe, num_steps
        self.losses = losses_of(models[0])
        self.numbers = plain_numbers(self.losses)
        self.rows = row_numbers(len(models), rows)
        self.repeated = torch.tensor(self.rows, device=next(models[0].parameters()).device)
        self.named = [dict(model.named_parameters()) for model in models]
        self.leaves = {
            name: stacked_views([n[name] for n in self.named], self.rows).requires_grad_() for name in self.named[0]
        }
        self.buffers = stacked_buffers(models, self.rows)
        self.optimizer = self._stacked_optimizer()

    def _stacked_optimizer(self) -> torch.optim.Optimizer:
        """An AdamW as that of one run, of the stacked parameters and moments."""
        optimizer = make_optimizer(self.models[0], self.recipe)
        leaf_of = {id(parameter): self.leaves[name] for name, parameter in self.named[0].items()}
        for group in optimizer.param_groups:
            group["params"] = [leaf_of[id(parameter)] for parameter in group["params"]]
        for name, leaf in self.leaves.items():
            entries: list[Any] = [run.state.get(n[name]) for run, n in zip(self.runs, self.named, strict=True)]
            if entries[0]:
                moments = {k: torch.stack([entries[i][k] for i in self.rows]) for k in ("exp_avg", "exp_avg_sq")}
                optimizer.state[leaf] = {"step": entries[0]["step"].clone(), **moments}
        return optimizer

    def __call__(self, batch: tuple[Tensor, Tensor], step: int) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, step, self.num_steps)
        if len(self.rows) > len(self.models):
            batch = (batch[0][self.repeated], batch[1][self.repeated])
        losses, total = stacked_losses(self.losses, self.leaves, self.buffers, batch)
        total.sum().backward()
        self.norms = self._clip()[: len(self.models)]
        self.optimizer.step()
        for leaf in self.leaves.values():
            leaf.grad = None
        return losses.detach()[: len(self.models)]

    @torch.no_grad()
    def _clip(self) -> Tensor:
        """`clip_grad_norm_` of each row by its own norm; returns the norms (rows,)."""
        grads = [leaf.grad for leaf in self.leaves.values() if leaf.grad is not None]
        norms = row_norms(grads)
        factors = clip_factors(norms, self.recipe.clip)
        for grad in grads:
            grad.mul_(factors.view(-1, *[1] * (grad.ndim - 1)))
        return norms

    def settle(self, steps_done: int) -> None:
        if plain_numbers(self.losses) != self.numbers:
            raise UserError(NUMBERS_CHANGE)
        for name, leaf in self.leaves.items():
            entry: dict[str, Tensor] = self.optimizer.state.get(leaf, {})  # none before its first gradient
            for i, (run, named) in enumerate(zip(self.runs, self.named, strict=True)) if entry else ():
                run.state[named[name]] = {k: v.clone() if k == "step" else v[i] for k, v in entry.items()}


def row_numbers(num_runs: int, rows: int | None) -> list[int]:
    """For each row the run it holds."""
    assert num_runs <= (rows or num_runs), (num_runs, rows)
    return [min(i, num_runs - 1) for i in range(rows or num_runs)]


def stacked_views(tensors: Sequence[Tensor], rows: Sequence[int]) -> Tensor:
    """(rows, ...) of the runs' tensors, which become its slices."""
    stacked = torch.stack([tensors[i].detach() for i in rows])
    for tensor, piece in zip(tensors, stacked, strict=False):
        tensor.data = piece
    return stacked


def stacked_buffers(models: Sequence[Transformer], rows: Sequence[int]) -> dict[str, Tensor]:
    """The buffers of all runs by name; the models' become views of them."""
    buffers = [dict(model.named_buffers()) for model in models]
    return {name: stacked_views([b[name] for b in buffers], rows) for name in buffers[0]}


def losses_of(model: Transformer) -> Losses:
    """A model's forward and loss as a function of its tensors. A copy: what vmap leaves in it would not fit a model."""
    return Losses(copy.deepcopy(model).train())


def stacked_losses(
    losses: Losses, parameters: dict[str, Tensor], buffers: dict[str, Tensor], batch: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Cross-entropy (rows,) in nats per token, and with the auxiliary losses, of stacked tensors and (rows, B, T)."""

    def of_one(own: dict[str, Tensor], fixed: dict[str, Tensor], tokens: Tensor, targets: Tensor) -> Any:
        known = {PREFIX + name: tensor for name, tensor in (*own.items(), *fixed.items())}
        return functional_call(losses, known, (tokens, targets))

    if len(batch[0]) > 1:
        return vmap(of_one)(parameters, buffers, *batch)
    own, fixed = ({name: tensor[0] for name, tensor in named.items()} for named in (parameters, buffers))
    loss, total = of_one(own, fixed, batch[0][0], batch[1][0])  # vmap would refuse some of what it can do
    return loss[None], total[None]


def row_norms(grads: Sequence[Tensor]) -> Tensor:
    """(rows,) the norm of each row's gradients together."""
    rows = len(grads[0])
    norms = torch.stack([torch.linalg.vector_norm(grad.reshape(rows, -1), dim=1) for grad in grads])  # (tensors, rows)
    return torch.linalg.vector_norm(norms, dim=0)


@contextlib.contextmanager
def quiet_vmap() -> Iterator[None]:
    """vmap warns of an operation it does one run after another; on a CPU that is attention, and is known."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop")
        yield
