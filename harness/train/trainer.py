"""The one trainer. It is handed a model, batches and a recipe, and never learns which variant it trains."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor

from harness.model.transformer import Transformer
from harness.spec.recipe import Recipe
from harness.train import checkpoint
from harness.train.compile import StepKind
from harness.train.compiled import CompiledStep
from harness.train.crew import ALONE, Crew
from harness.train.eager import EagerStep
from harness.train.optimizer import make_optimizer
from variants.errors import UserError

CHECK_EVERY = 50
"""Steps between looks at the losses (divergence, progress, stop, checkpoint); on a GPU each look waits for it."""

LOOK_SECONDS = 5.0
"""A look comes sooner where steps are slow, so that a stop ends in a checkpoint within the grace that schedulers give
(30 s in Slurm and Kubernetes). Assumption: less than a fifth of it."""

CHECKPOINT_SECONDS = 15.0
"""Wall clock between checkpoints: at most this much work is lost by a kill. Assumption."""


class BatchSource(Protocol):
    """Batches addressed by step, so that a resumed run reads what an undisturbed one would."""

    def batch(self, step: int) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class Training:
    """How a run went. `history` (2, steps) is of each step its loss and the norm of its gradient."""

    status: Literal["finished", "diverged", "stopped"]
    reason: str
    history: Tensor
    seconds: float

    @property
    def losses(self) -> Tensor:
        """(steps,) nats per token, without the variants' auxiliary losses."""
        return self.history[0]

    @property
    def norms(self) -> Tensor:
        """(steps,) of the gradient of all parameters, before it was clipped."""
        return self.history[1]


def train(
    model: Transformer,
    batches: BatchSource,
    recipe: Recipe,
    num_steps: int,
    *,
    folder: Path,
    on_progress: Callable[[int, float], None] = lambda step, loss: None,
    should_stop: Callable[[], bool] = lambda: False,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    step_kind: StepKind = "eager",
    recompute_activations: bool = False,
    start: Path | None = None,
    end: Path | None = None,
    crew: Crew = ALONE,
) -> Training:
    """Train `model` for `num_steps`, continuing from the newest checkpoint in `folder` if there is one.

    Args:
        on_progress: called with (steps done, loss of the last step) every `CHECK_EVERY` steps.
        should_stop: asked as often, and every `LOOK_SECONDS`; True checkpoints and returns status `stopped`.
        step_kind: how a step is run; the two differ in the last bits. Compiling is not part of `seconds`.
        recompute_activations: forget a layer's activations and compute them again in the backward: the same bits,
            one more forward of the layers, less memory. Eager steps alone.
        start: a folder of checkpoints to begin from when `folder` has none.
        end: a folder that keeps the checkpoint of the last step.
        crew: the processes that train the run together. Each of them calls this, and all get the same answer.

    Returns:
        The losses and gradient norms of every step and the status; `diverged` at the first loss that is not finite.
    """
    device = next(model.parameters()).device
    optimizer = make_optimizer(model, recipe)
    history = torch.zeros(2, num_steps, device=device)
    losses, norms = history
    done, seconds_before = 0, 0.0
    restored = crew.restore(folder, model, optimizer)
    if restored is None and start is not None:
        restored = crew.restore(start, model, optimizer, last=num_steps)
    if restored is not None:
        done, seconds_before = restored.step, restored.seconds
        history[:, :done] = restored.history.to(device)
    model.train()
    model.recompute_activations = recompute_activations
    one_step = make_step(step_kind, model, optimizer, batches, recipe, num_steps, done, crew)
    started = saved = time.perf_counter()

    def seconds() -> float:
        return seconds_before + time.perf_counter() - started

    def save(folder: Path, *, keep_all: bool = False) -> None:
        one_step.settle(done)
        progress = checkpoint.Progress(done, history[:, :done].contiguous().cpu(), seconds())
        crew.save(folder, model, optimizer, progress, keep_all=keep_all)

    while done < num_steps:
        looked, look = done, time.perf_counter()
        for step in range(done, min(CHECK_EVERY * (done // CHECK_EVERY + 1), num_steps)):
            losses[step] = one_step(batches.batch(step), step)
            norms[step] = one_step.norm
            done = step + 1
            if crew.agree(time.perf_counter() - look > LOOK_SECONDS):
                break
        diverged = first_not_finite(losses[looked:done])
        if diverged is not None:
            step = looked + diverged
            reason = f"the training loss was {losses[step].item()} at step {step} of {num_steps}"
            return Training("diverged", reason, history[:, : step + 1].cpu(), seconds())
        if done % CHECK_EVERY == 0 or done == num_steps:  # at steps that do not depend on the machine
            on_progress(done, losses[done - 1].item())
        if done < num_steps and crew.agree(should_stop()):
            save(folder)
            return Training("stopped", f"stopped at step {done} of {num_steps}", history[:, :done].cpu(), seconds())
        if done < num_steps and crew.agree(time.perf_counter() - saved > checkpoint_seconds):
            save(folder)
            saved = time.perf_counter()
    if end is not None:
        save(end, keep_all=True)
    return Training("finished", "", history.cpu(), seconds())


def make_step(
    kind: StepKind,
    model: Transformer,
    optimizer: torch.optim.Optimizer,
    batches: BatchSource,
    recipe: Recipe,
    num_steps: int,
    done: int,
    crew: Crew = ALONE,
) -> EagerStep | CompiledStep:
    """What is called with a batch and a step's number, and trains."""
    if kind == "eager":
        return crew.eager_step(model, optimizer, recipe, num_steps)
    if crew is not ALONE:
        raise UserError("a run over several processes needs eager steps; use --compile off")
    if model.recompute_activations:
        raise UserError("recomputing activations needs eager steps, since a compiled step plans its own memory")
    return CompiledStep(model, optimizer, recipe, num_steps, batches.batch(min(done, num_steps - 1)))


def train_step(
    model: Transformer,
    optimizer: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor],
    recipe: Recipe,
    step: int,
    num_steps: int,
) -> Tensor:
    """A single eager step; returns the loss in nats per token before it, detached."""
    return EagerStep(model, optimizer, recipe, num_steps)(batch, step)


def first_not_finite(losses: Tensor) -> int | None:
    """Index of the first NaN or infinite loss, None when all are finite."""
    bad = (~losses.isfinite()).nonzero()
    return int(bad[0]) if len(bad) else None
