"""A step of a stack as one graph: forward, backward, clipping and AdamW of all its runs.

As harness/train/compiled.py does for one run, with every vector (rows, size) and the forward mapped over the rows. A
stack of one row is the compiled step of a run in bf16.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from harness.model.transformer import Transformer
from harness.spec.recipe import Recipe
from harness.train.adamw import State, adamw
from harness.train.compiled import Losses, compile_graph
from harness.train.flat import FlatState, Layout
from harness.train.precision import BF16_TOLERANCE, tolerance_of
from harness.train.replayed import StepFunction, replayed
from harness.train.schedule import StepScalars
from harness.train.stack import (
    losses_of,
    quiet_vmap,
    row_norms,
    row_numbers,
    stacked_buffers,
    stacked_losses,
)
from variants.errors import UserError

OWN_CHANGES = 2.0
"""Times what rounding the weights to bf16 changes of a step in bf16. A dense model's compiled step is within the
tolerance; a mixture's changed the largest gradient by 2 to 8 %, and rounding its weights by 6 to 10 % (measured)."""


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
        self.runs, self.rows = optimizers, row_numbers(len(models), rows)
        self.tolerance = tolerance_of(models[0])
        losses = losses_of(models[0])
        self.state, layout = stacked_state(models, optimizers, self.rows)
        self.buffers = stacked_buffers(models, self.rows)
        self.scalars = StepScalars(recipe, num_steps, self.state[0])
        self.repeated = torch.tensor(self.rows, device=self.state[0].device)
        arguments = self._arguments(batch, 0)
        with quiet_vmap():
            graph = recorded(losses, layout, recipe, arguments)
        self.function = replayed((compiler or compile_graph)(graph, self.state[0].device), arguments)
        self._compare_with(graph, arguments)

    @torch.no_grad()
    def _compare_with(self, graph: fx.GraphModule, arguments: tuple[Any, ...]) -> None:
        """One step compiled and one by the graph itself; then everything is again as it was.

        Raises:
            UserError: they differ by more than the tolerance and, in bf16, by more than the graph's own step changes
                when its weights are rounded to bf16, which sends some of a mixture's tokens elsewhere.
        """
        expected = self._tried(graph, arguments)
        off = _distance(self._tried(self.function, arguments), expected)
        allowed = (self.tolerance, self.tolerance)
        if max(off) > self.tolerance >= BF16_TOLERANCE:
            rounded = self.state[0].bfloat16().to(self.state[0].dtype)
            own = _distance(self._tried(graph, (rounded, *arguments[1:])), expected)
            allowed = tuple(max(self.tolerance, OWN_CHANGES * change) for change in own)
        if not all(one <= limit for one, limit in zip(off, allowed, strict=True)):
            raise UserError(
                f"the compiled stack differs from its graph by {off[0]:.1e} of the loss and {off[1]:.1e} of the "
                f"gradient, more than {allowed[0]:.0e} and {allowed[1]:.0e}; use --compile off"
            )

    def _tried(self, function: StepFunction, arguments: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
        """Losses and first moments (the clipped gradient, scaled) of a step, which is then undone."""
        changed = (*self.state, *self.buffers.values())
        before = [tensor.clone() for tensor in changed]
        loss, moment = function(*arguments)[0].clone(), self.state[1].clone()
        for tensor, values in zip(changed, before, strict=True):
            tensor.copy_(values)
        return loss, moment

    @torch.no_grad()
    def __call__(self, batch: tuple[Tensor, Tensor], step: int) -> Tensor:
        loss, norms = self.function(*self._arguments(batch, step))
        self.norms = norms[: len(self.runs)]
        return loss[: len(self.runs)]

    def _arguments(self, batch: tuple[Tensor, Tensor], step: int) -> tuple[Any, ...]:
        tokens, targets = batch
        if len(self.rows) > len(self.runs):
            tokens, targets = tokens[self.repeated], targets[self.repeated]
        return (*self.state, self.buffers, tokens, targets, self.scalars(step))

    def settle(self, steps_done: int) -> None:
        for run in self.runs:
            for entry in run.state.values():
                entry["step"].fill_(steps_done)


def _distance(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """Of the losses, as a share of each, and of the moments, as a share of the largest."""
    (loss, moment), (expected, expected_moment) = one, other
    off_loss = ((loss - expected).abs() / expected.abs()).max().item()
    return off_loss, ((moment - expected_moment).abs().max() / expected_moment.abs().max()).item()


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
        slices = layout.slices(weights)
        parameters = {name: w.detach().requires_grad_() for name, w in slices.items()}
        loss, total = stacked_losses(losses, parameters, buffers, (tokens, targets))
        grads = torch.autograd.grad(total.sum(), list(parameters.values()), allow_unused=True, materialize_grads=True)
        norms = row_norms(grads)
        adamw(layout, recipe, (weights, first, second), grads, norms, scalars)
        return loss.detach(), norms

    return make_fx(step, tracing_mode="fake")(*arguments)
