"""Train several runs of one shape, which differ by their seeds, as one program (harness/train/stack.py).

Losses equal those of the runs trained apart to rounding and not to the bit, so that a stacked run is another run, and
its identity has the number of rows. Each run has its own data, checkpoints, divergence and end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from harness.model.transformer import Transformer
from harness.spec.recipe import Recipe
from harness.train import checkpoint
from harness.train.checkpoint import Progress
from harness.train.optimizer import make_optimizer
from harness.train.stack import Stack, StackStep, quiet_vmap
from harness.train.trainer import CHECK_EVERY, CHECKPOINT_SECONDS, LOOK_SECONDS, Training, first_not_finite


class StackSource(Protocol):
    """Batches of all runs addressed by step: tokens and targets, (runs, B, T) each."""

    def batch(self, step: int) -> tuple[Tensor, Tensor]: ...


def train_stack(
    models: Sequence[Transformer],
    batches: StackSource,
    recipe: Recipe,
    num_steps: int,
    *,
    folders: Sequence[Path],
    rows: int | None = None,
    on_progress: Callable[[int, int, float], None] = lambda run, step, loss: None,
    should_stop: Callable[[], bool] = lambda: False,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    make_step: Callable[..., StackStep] = Stack,
) -> list[Training]:
    """`train` of several runs at once: each model is trained, and goes on from where all its folders can.

    Args:
        models: of one spec, on one device.
        folders: of the checkpoints, one a run.
        rows: of the stack, at least one a run; more are filled up and dropped.
        on_progress: called with (run, steps done, loss of the last step) every `CHECK_EVERY` steps.
        should_stop: True checkpoints every run and returns status `stopped`.

    Returns:
        How each run went. One that diverged does not disturb the others. A run's seconds are its share of the stack's.
    """
    assert len({model.spec for model in models}) == 1, "a stack takes runs of one spec"
    optimizers = [make_optimizer(model, recipe) for model in models]
    before = restore_together(folders, models, optimizers)
    done = before[0].step if before else 0
    history = torch.zeros(len(models), 2, num_steps, device=next(models[0].parameters()).device)
    losses = history[:, 0]
    for run, progress in enumerate(before):
        history[run, :, :done] = progress.history.to(history.device)
    for model in models:
        model.train()
    one_step = make_step(models, optimizers, recipe, num_steps, rows)
    started = saved = time.perf_counter()
    ended: dict[int, Training] = {}

    def seconds(run: int) -> float:
        own = (time.perf_counter() - started) / len(models)
        return own + (before[run].seconds if before else 0.0)

    def save() -> None:
        one_step.settle(done)
        for run, folder in enumerate(folders):
            progress = Progress(done, history[run, :, :done].contiguous().cpu(), seconds(run))
            checkpoint.save(folder, models[run], optimizers[run], progress)

    looked = 0  # what a checkpoint holds may have diverged, where others went on
    with quiet_vmap():
        while done < num_steps and len(ended) < len(models):
            done = _take_steps(one_step, batches, history, done)
            seen = losses[:, looked:done].cpu()
            for run in (run for run in range(len(models)) if run not in ended):
                at = first_not_finite(seen[run])
                if at is not None:
                    reason = f"the training loss was {seen[run, at].item()} at step {looked + at} of {num_steps}"
                    ended[run] = Training("diverged", reason, history[run, :, : looked + at + 1].cpu(), seconds(run))
                elif done % CHECK_EVERY == 0 or done == num_steps:
                    on_progress(run, done, seen[run, -1].item())
            looked = done
            if done < num_steps and len(ended) < len(models):
                if should_stop():
                    save()
                    return [
                        _stopped(ended, run, history[run, :, :done], num_steps, seconds(run))
                        for run in range(len(models))
                    ]
                if time.perf_counter() - saved > checkpoint_seconds:
                    save()
                    saved = time.perf_counter()
    return [ended.get(run) or Training("finished", "", history[run].cpu(), seconds(run)) for run in range(len(models))]


def _take_steps(one_step: StackStep, batches: StackSource, history: Tensor, done: int) -> int:
    """Train to the next check, or until a look is due, and note what they gave (runs, 2, steps); returns steps done."""
    look, check = time.perf_counter(), min(CHECK_EVERY * (done // CHECK_EVERY + 1), history.shape[2])
    for step in range(done, check):
        history[:, 0, step] = one_step(batches.batch(step), step)
        history[:, 1, step] = one_step.norms
        if time.perf_counter() - look > LOOK_SECONDS:
            return step + 1
    return check


def _stopped(ended: dict[int, Training], run: int, history: Tensor, num_steps: int, seconds: float) -> Training:
    """A run that diverged has ended; the others go on another time."""
    reason = f"stopped at step {history.shape[1]} of {num_steps}"
    return ended.get(run) or Training("stopped", reason, history.cpu(), seconds)


def restore_together(
    folders: Sequence[Path], models: Sequence[Transformer], optimizers: Sequence[torch.optim.Optimizer]
) -> list[Progress]:
    """Load the newest checkpoints that all runs have of one step; [] where there is none, and all start anew.

    A kill while the runs save one after another leaves some a checkpoint ahead; the one before is still kept.
    """
    steps = [{int(path.name.removeprefix("step-")) for path in checkpoint.checkpoints(folder)} for folder in folders]
    initial = [{name: tensor.clone() for name, tensor in model.state_dict().items()} for model in models]
    for last in sorted(set.intersection(*steps), reverse=True):
        together = list(zip(folders, models, optimizers, strict=True))
        found = [checkpoint.restore(folder, model, optimizer, last) for folder, model, optimizer in together]
        progress = [one for one in found if one is not None and one.step == last]
        if len(progress) == len(folders):
            return progress
    for model, values, optimizer in zip(models, initial, optimizers, strict=True):
        model.load_state_dict(values)  # of those that were restored before another was found to be damaged
        optimizer.state.clear()
    return []
