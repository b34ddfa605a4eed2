"""The step as torch runs it, one kernel after another."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from harness.model.transformer import Transformer
from harness.spec.recipe import Recipe
from harness.train.schedule import learning_rate


class EagerStep:
    """One step of clipped AdamW. What does not change between steps is looked up once.

    `norm` () is the norm of the last step's gradient, before it was clipped.
    """

    norm: Tensor

    def __init__(self, model: Transformer, optimizer: torch.optim.Optimizer, recipe: Recipe, num_steps: int) -> None:
        self.model, self.optimizer, self.recipe, self.num_steps = model, optimizer, recipe, num_steps
        self.parameters = list(model.parameters())
        self.changing = list(model.having("after_step"))
        self.losing: list[nn.Module] | None = None  # known after a forward: an attribute may be born there

    def __call__(self, batch: tuple[Tensor, Tensor], step: int) -> Tensor:
        """Returns the loss in nats per token before the step, detached."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, step, self.num_steps)
        loss, total = self.losses(batch)
        total.backward()
        self.norm = nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
        self.optimizer.step()
        for parameter in self.parameters:
            parameter.grad = None
        for module in self.changing:
            cast("Any", module).after_step()
        return loss.detach()

    def losses(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Cross-entropy in nats per token, and with the variants' auxiliary losses."""
        loss = self.model.loss(*batch)
        if self.losing is None:
            self.losing = list(self.model.having("auxiliary_loss"))
        losses = [left for module in self.losing if (left := cast("Any", module).auxiliary_loss) is not None]
        return loss, loss + sum(losses, 0.0) if losses else loss

    def settle(self, steps_done: int) -> None:
        """Nothing to do before a checkpoint: the optimizer counts its steps itself."""
