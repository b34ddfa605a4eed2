"""What a compiled step is told of its number, made a block of steps at a time."""

from __future__ import annotations

import math

import pytest
import torch

from harness.spec.recipe import Recipe
from harness.train.schedule import BLOCK_STEPS, StepScalars, learning_rate


@pytest.mark.parametrize("num_steps", [3, BLOCK_STEPS, BLOCK_STEPS + 1, 3 * BLOCK_STEPS - 1])
def test_the_scalars_of_a_step_do_not_depend_on_its_block(num_steps: int) -> None:
    recipe = Recipe()
    scalars = StepScalars(recipe, num_steps, torch.zeros(1, dtype=torch.float64))
    for step in (num_steps - 1, 0, num_steps // 2):  # in any order
        t = step + 1
        expected = (learning_rate(recipe, step, num_steps), 1 - recipe.beta1**t, math.sqrt(1 - recipe.beta2**t))
        assert scalars(step).tolist() == list(expected)
