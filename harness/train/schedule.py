"""The learning rate of every step: a linear warm-up, then down to the run's own last step."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from harness.spec.recipe import Recipe

BLOCK_STEPS = 256
"""Steps whose numbers are made and copied at once. Assumption: many enough, and few kB."""


def learning_rate(recipe: Recipe, step: int, num_steps: int) -> float:
    """Learning rate of `step` in 0..num_steps-1.

    Rises linearly over the first `warmup` share of the steps, then falls along a half cosine
    (Loshchilov and Hutter 2016, arXiv:1608.03983) to `final_lr` of the peak at the end. With the schedule "wsd" it
    stays at the peak and falls in the last steps as 1 - sqrt (Haegele et al. 2024, arXiv:2405.18392), so that before
    them it does not depend on num_steps where `warmup_steps` is given.
    """
    warmup_steps = recipe.warmup_of(num_steps)
    if step < warmup_steps:
        return recipe.lr * (step + 1) / warmup_steps
    if recipe.schedule == "wsd":
        start = recipe.branch_step(num_steps)
        share = 1.0 if step < start else 1 - math.sqrt((step - start + 1) / (num_steps - start))
        return recipe.lr * (recipe.final_lr + (1 - recipe.final_lr) * share)
    progress = (step - warmup_steps + 1) / max(1, num_steps - warmup_steps)
    share = recipe.final_lr + (1 - recipe.final_lr) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return recipe.lr * share


class StepScalars:
    """What a compiled step of AdamW is told, (3,): the learning rate, and the corrections 1 - beta1^t and
    sqrt(1 - beta2^t) of moments that began at zero, t the number of the step from 1.

    Made a block at a time: numbers copied to a GPU step by step wait for all that it still has to do.
    """

    def __init__(self, recipe: Recipe, num_steps: int, like: Tensor) -> None:
        self.recipe, self.num_steps, self.dtype, self.device = recipe, num_steps, like.dtype, like.device
        self._last: tuple[int, Tensor] | None = None

    def __call__(self, step: int) -> Tensor:
        block, place = divmod(step, BLOCK_STEPS)
        if self._last is None or self._last[0] != block:
            self._last = block, self._block(block)
        return self._last[1][place]

    def _block(self, block: int) -> Tensor:
        steps = range(block * BLOCK_STEPS, min((block + 1) * BLOCK_STEPS, self.num_steps))
        scalars = [self._of_step(step) for step in steps]
        return torch.tensor(scalars, dtype=self.dtype, device=self.device)

    def _of_step(self, step: int) -> tuple[float, float, float]:
        rate, t = learning_rate(self.recipe, step, self.num_steps), step + 1
        return rate, 1 - self.recipe.beta1**t, math.sqrt(1 - self.recipe.beta2**t)
