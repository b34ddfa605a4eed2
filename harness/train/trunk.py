"""One warm-up-stable trunk, from whose checkpoints runs of several lengths branch off and decay.

Before its decay a wsd run of n steps does what every longer one does, so the trunk is trained once and each branch
pays for its own decay alone (Haegele et al. 2024, arXiv:2405.18392). A branch has the bits of the run that was never
branched: its learning rates, its data and the state it starts from are the same.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal

from harness.model.transformer import Transformer
from harness.spec.recipe import Recipe
from harness.train.checkpoint import name_of
from harness.train.trainer import BatchSource, train

POINTS = "branches"
"""In a trunk's folder: the checkpoints that branches start from. They stay, so that a longer ladder goes on there."""


def points_of(folder: Path) -> Path:
    """The folder of the checkpoints of a trunk."""
    return folder / POINTS


def extend_trunk(
    folder: Path, model: Transformer, batches: BatchSource, recipe: Recipe, step: int, **how: Any
) -> Literal["finished", "diverged", "stopped"]:
    """Bring the trunk in `folder` to `step`, unless it was there before. The trunk's lock must be held.

    Returns:
        How that ended. Where the trunk diverged, a branch does so too, at the same step.

    Args:
        model: at its initial values; trained by this call.
        recipe: of the branches.
        how: of `train`.
    """
    if (points_of(folder) / name_of(step)).exists():
        return "finished"
    here = folder / f"to-{name_of(step)}"  # a way to another step has its own, and none goes past its end
    training = train(
        model, batches, recipe.trunk, step, folder=here, start=points_of(folder), end=points_of(folder), **how
    )
    if training.status != "stopped":
        shutil.rmtree(here, ignore_errors=True)
    return training.status
