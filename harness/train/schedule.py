"""The learning rate of every step: a linear warm-up, then down to the run's own last step."""

from __future__ import annotations

import math

from harness.spec.recipe import Recipe


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
