"""A step of a stack as one graph: forward, backward, clipping and AdamW of all its runs.

As harness/train/compiled.py does for one run, with every vector (rows, size) and the forward mapped over the rows. On a
GPU torch.compile replays it as a CUDA graph, so that a small model does not wait for a hundred launches a step. A stack
of one row is the compiled step of a run in bf16.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from harness.model.transformer import Transformer
from harness.spec.recipe import Recipe
from harness.train.compiled import ADAM_EPS, Losses, StepFunction, compile_graph
from harness.train.flat import FlatState, Layout
from harness.train.precision import tolerance_of
from harness.train.schedule import learning_rate
from harness.train.stack import (
    clip_factors,
    losses_of,
    quiet_vmap,
    row_norms,
    row_numbers,
    stacked_buffers,
    stacked_losses,
)
from variants.errors import UserError

State = tuple[Tensor, Tensor, Tensor]
"""Weights, first moments and second moments, (rows, size) each."""


class CompiledStack:
    """`Stack` in one call; `compiler` turns the recorded graph into what is called.

    Args:
        batch: tokens and targets, (runs, B, T), of the shape of every step.
    """

    def __init__(
        self,
        models: Sequence[Transformer],
        optimizers: Sequence[torch.optim.Optimizer],
        recipe: Recipe,
        num_steps: int,
        rows: int | None,
        batch: tuple[Tensor, Tensor],
        compiler: Callable[[fx.GraphModule, torch.device], StepFunction] | None = None,
    ) -> None:
        self.runs, self.recipe, self.num_steps = optimizers, recipe, num_steps
        self.rows = row_numbers(len(models), rows)
        self.tolerance = tolerance_of(models[0])
        losses = losses_of(models[0])
        self.state, layout = stacked_state(models, optimizers, self.rows)
        self.buffers = stacked_buffers(models, self.rows)
        for tensor in (*self.state, *self.buffers.values()):
            torch._dynamo.mark_static_address(tensor)  # a CUDA graph may write to it where it is
        with quiet_vmap():
            graph = recorded(losses, layout, recipe, self._arguments(batch, 0))
        self.function = (compiler or compile_graph)(graph, self.state[0].device)
        self._compare_with(graph, batch)

    @torch.no_grad()
    def _compare_with(self, graph: fx.GraphModule, batch: tuple[Tensor, Tensor]) -> None:
        """One step compiled and one by the graph itself; then everything is again as it was.

        Raises:
            UserError: loss or first moments (the clipped gradient, scaled) differ by more than rounding.
        """
        changed = (*self.state, *self.buffers.values())
        before = [tensor.clone() for tensor in changed]
        loss = self.function(*self._arguments(batch, 0))[0].clone()
        moment = self.state[1].clone()
        _copy(before, changed)
        expected, _ = graph(*self._arguments(batch, 0))
        off_loss = ((loss - expected).abs() / expected.abs()).max().item()
        off_moment = ((moment - self.state[1]).abs().max() / self.state[1].abs().max()).item()
        _copy(before, changed)
        if not max(off_loss, off_moment) <= self.tolerance:
            raise UserError(
                f"the compiled stack differs from its graph by {off_loss:.1e} of the loss and {off_moment:.1e} of the "
                f"gradient, more than {self.tolerance:.0e}; use --compile off"
            )

    @torch.no_grad()
    def __call__(self, batch: tuple[Tensor, Tensor], step: int) -> Tensor:
        runs, found = len(self.runs), self.function(*self._arguments(batch, step))
        loss, self.norms = (of_rows[:runs].clone() for of_rows in found)  # a replay writes over them
        return loss

    def _arguments(self, batch: tuple[Tensor, Tensor], step: int) -> tuple[Any, ...]:
        beta1, beta2 = self.recipe.beta1, self.recipe.beta2
        rate = learning_rate(self.recipe, step, self.num_steps)
        scalars = (rate, 1 - beta1 ** (step + 1), math.sqrt(1 - beta2 ** (step + 1)))
        weights = self.state[0]
        known = torch.tensor(scalars, dtype=weights.dtype, device=weights.device)
        tokens, targets = batch if len(self.rows) == len(self.runs) else (batch[0][self.rows], batch[1][self.rows])
        return (*self.state, self.buffers, tokens, targets, known)

    def settle(self, steps_done: int) -> None:
        for run in self.runs:
            for entry in run.state.values():
                entry["step"].fill_(steps_done)


def _copy(sources: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)


def stacked_state(
    models: Sequence[Transformer], optimizers: Sequence[torch.optim.Optimizer], rows: Sequence[int]
) -> tuple[State, Layout]:
    """The runs' weights and moments; the runs' models and optimizers become views of them."""
    flat = [FlatState.adopt(model, optimizer) for model, optimizer in zip(models, optimizers, strict=True)]
    layout = flat[0].layout
    weights, first, second = (
        torch.stack([getattr(flat[i], name) for i in rows]) for name in ("weights", "first", "second")
    )
    for i, (model, optimizer) in enumerate(zip(models, optimizers, strict=True)):
        parameters = dict(model.named_parameters())
        views = [layout.slices(vector[i]) for vector in (weights, first, second)]
        for name in layout.names:
            parameter = parameters[name]
            parameter.data = views[0][name]
            optimizer.state[parameter].update(exp_avg=views[1][name], exp_avg_sq=views[2][name])
    return (weights, first, second), layout


def recorded(losses: Losses, layout: Layout, recipe: Recipe, arguments: tuple[Any, ...]) -> fx.GraphModule:
    """The graph of a step of a stack."""
    from torch.fx.experimental.proxy_tensor import make_fx  # loads the compiler, which an eager run does not need

    def step(
        weights: Tensor,
        first: Tensor,
        second: Tensor,
        buffers: dict[str, Tensor],
        tokens: Tensor,
        targets: Tensor,
        scalars: Tensor,
    ) -> tuple[Tensor, Tensor]:
        slices = stacked_slices(layout, weights)
        parameters = {name: w.detach().requires_grad_() for name, w in slices.items()}
        loss, total = stacked_losses(losses, parameters, buffers, (tokens, targets))
        grads = torch.autograd.grad(total.sum(), list(parameters.values()), allow_unused=True, materialize_grads=True)
        return loss.detach(), adamw(layout, recipe, (weights, first, second), grads, scalars)

    return make_fx(step, tracing_mode="fake")(*arguments)


def stacked_slices(layout: Layout, vectors: Tensor) -> dict[str, Tensor]:
    """Views (rows, ...) by the parameters' names, of (rows, size)."""
    return {
        name: vectors[:, start : start + math.prod(shape)].view(len(vectors), *shape)
        for name, start, shape in zip(layout.names, layout.starts, layout.shapes, strict=True)
    }


def joined(layout: Layout, tensors: Sequence[Tensor]) -> Tensor:
    """(rows, size) of tensors (rows, ...) in the order of `layout.names`, with zeros in the gaps."""
    pieces = []
    for tensor, start, end in zip(tensors, layout.starts, (*layout.starts[1:], layout.size), strict=True):
        pieces.append(tensor.reshape(len(tensor), -1))
        if gap := end - start - pieces[-1].shape[1]:
            pieces.append(tensor.new_zeros(len(tensor), gap))
    return torch.cat(pieces, dim=1)


@torch.no_grad()
def adamw(layout: Layout, recipe: Recipe, state: State, grads: Sequence[Tensor], scalars: Tensor) -> Tensor:
    """`adamw` of harness/train/compiled.py for every row, each clipped by its own norm; returns the norms (rows,)."""
    weights, first, second = state
    rate, correction1, correction2 = scalars.unbind()
    norms = row_norms(grads)
    gradient = joined(layout, grads) * clip_factors(norms, recipe.clip)[:, None]
    m = first + (gradient - first) * (1 - recipe.beta1)
    v = second * recipe.beta2 + gradient * gradient * (1 - recipe.beta2)
    update = rate / correction1 * m / (v.sqrt() / correction2 + ADAM_EPS)
    decayed, rest = weights[:, : layout.num_decayed], weights[:, layout.num_decayed :]
    weights.copy_(torch.cat((decayed - rate * recipe.weight_decay * decayed, rest), dim=1) - update)
    first.copy_(m)
    second.copy_(v)
    return norms
