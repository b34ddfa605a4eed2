"""The processes that train a run together, as one of them sees them. Alone, or a team (harness/train/team.py).

The trainer does the same either way: it asks its crew how a step is run and where a checkpoint is kept, and whether
to look up, save or stop, so that all processes do so at the same step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from harness.model.transformer import Transformer
from harness.spec.recipe import Recipe
from harness.train import checkpoint
from harness.train.checkpoint import Progress
from harness.train.eager import EagerStep


class Crew(Protocol):
    """The methods are called by all processes of a run, at the same place."""

    first: bool
    """Whether this is the process that writes the run's files and tells of it."""

    scores: bool
    """Whether this process takes part in forwards of the whole model after training."""

    def agree(self, wish: bool) -> bool:
        """Whether any process wishes it."""
        ...

    def place(self, model: Transformer, device: torch.device) -> Transformer:
        """The model, where it is trained."""
        ...

    def eager_step(
        self, model: Transformer, optimizer: torch.optim.Optimizer, recipe: Recipe, num_steps: int
    ) -> EagerStep:
        """A step over a whole batch, of which this process may do a part; the loss is that of the whole batch."""
        ...

    def save(
        self,
        folder: Path,
        model: Transformer,
        optimizer: torch.optim.Optimizer,
        progress: Progress,
        *,
        keep_all: bool = False,
    ) -> None:
        """As `checkpoint.save`."""
        ...

    def restore(
        self, folder: Path, model: Transformer, optimizer: torch.optim.Optimizer, last: int | None = None
    ) -> Progress | None:
        """As `checkpoint.restore`."""
        ...

    def remark(self) -> str:
        """What a record should say of who trained it, "" where its identity says all."""
        ...

    def weights(self, model: Transformer) -> dict[str, Tensor]:
        """Every persistent tensor of the model, whole, on the CPU of the first process; elsewhere it may be empty."""
        ...


class Alone:
    """One process."""

    first = scores = True

    def agree(self, wish: bool) -> bool:
        return wish

    def place(self, model: Transformer, device: torch.device) -> Transformer:
        return model.to(device)

    def eager_step(
        self, model: Transformer, optimizer: torch.optim.Optimizer, recipe: Recipe, num_steps: int
    ) -> EagerStep:
        return EagerStep(model, optimizer, recipe, num_steps)

    def remark(self) -> str:
        return ""

    def weights(self, model: Transformer) -> dict[str, Tensor]:
        return checkpoint.weights_of(model)

    save = staticmethod(checkpoint.save)
    restore = staticmethod(checkpoint.restore)


ALONE = Alone()
