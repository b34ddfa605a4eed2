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
from harness.train.optimizer import make_optimizer
from harness.train.schedule import learning_rate

CHECK_EVERY = 50
"""Steps between looks at the losses (divergence, progress, stop, checkpoint); on a GPU each look waits for it."""

CHECKPOINT_SECONDS = 15.0
"""Wall clock between checkpoints: at most this much work is lost by a kill. Assumption."""


class BatchSource(Protocol):
    """Batches addressed by step, so that a resumed run reads what an undisturbed one would."""

    def batch(self, step: int) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class Training:
    """How a run went. `losses` (steps,) are nats per token, without the variants' auxiliary losses."""

    status: Literal["finished", "diverged", "stopped"]
    reason: str
    losses: Tensor
    seconds: float


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
) -> Training:
    """Train `model` for `num_steps`, continuing from the newest checkpoint in `folder` if there is one.

    Args:
        on_progress: called with (steps done, loss of the last step) every `CHECK_EVERY` steps.
        should_stop: asked as often; True checkpoints and returns status `stopped`.

    Returns:
        The losses of every step and the status; `diverged` at the first loss that is not finite.
    """
    device = next(model.parameters()).device
    optimizer = make_optimizer(model, recipe)
    losses = torch.zeros(num_steps, device=device)
    done, seconds_before = 0, 0.0
    restored = checkpoint.restore(folder, model, optimizer)
    if restored is not None:
        done, seconds_before = restored.step, restored.seconds
        losses[:done] = restored.losses.to(device)
    started = saved = time.perf_counter()

    def seconds() -> float:
        return seconds_before + time.perf_counter() - started

    def save() -> None:
        checkpoint.save(folder, model, optimizer, checkpoint.Progress(done, losses[:done].cpu(), seconds()))

    model.train()
    while done < num_steps:
        looked = done
        for step in range(done, min(done + CHECK_EVERY, num_steps)):
            losses[step] = train_step(model, optimizer, batches.batch(step), recipe, step, num_steps)
        done = min(done + CHECK_EVERY, num_steps)
        diverged = first_not_finite(losses[looked:done])
        if diverged is not None:
            step = looked + diverged
            reason = f"the training loss was {losses[step].item()} at step {step} of {num_steps}"
            return Training("diverged", reason, losses[: step + 1].cpu(), seconds())
        on_progress(done, losses[done - 1].item())
        if done < num_steps and should_stop():
            save()
            return Training("stopped", f"stopped at step {done} of {num_steps}", losses[:done].cpu(), seconds())
        if done < num_steps and time.perf_counter() - saved > checkpoint_seconds:
            save()
            saved = time.perf_counter()
    return Training("finished", "", losses.cpu(), seconds())


def train_step(
    model: Transformer,
    optimizer: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor],
    recipe: Recipe,
    step: int,
    num_steps: int,
) -> Tensor:
    """One step of clipped AdamW; returns the loss in nats per token before the step, detached."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(recipe, step, num_steps)
    loss = model.loss(*batch)
    (loss + model.auxiliary_loss()).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    model.after_step()
    return loss.detach()


def first_not_finite(losses: Tensor) -> int | None:
    """Index of the first NaN or infinite loss, None when all are finite."""
    bad = (~losses.isfinite()).nonzero()
    return int(bad[0]) if len(bad) else None
