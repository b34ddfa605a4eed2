"""The learning rate of every step: a linear warm-up, then a cosine to the run's own last step."""

from __future__ import annotations

import math

from harness.spec.recipe import Recipe


def learning_rate(recipe: Recipe, step: int, num_steps: int) -> float:
    """Learning rate of `step` in 0..num_steps-1.

    Rises linearly over the first `warmup` share of the steps, then falls along a half cosine
    (Loshchilov and Hutter 2016, arXiv:1608.03983) to `final_lr` of the peak at the end.
    """
    warmup_steps = max(1, round(recipe.warmup * num_steps))
    if step < warmup_steps:
        return recipe.lr * (step + 1) / warmup_steps
    progress = (step - warmup_steps + 1) / max(1, num_steps - warmup_steps)
    share = recipe.final_lr + (1 - recipe.final_lr) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return recipe.lr * share
