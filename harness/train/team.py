"""Several processes train one run: each takes its part of every batch, and all hold the same loss.

Started by torchrun (harness/engine/torchrun.py), over gloo on CPUs and NCCL on GPUs. With `ddp` (Li et al. 2020,
arXiv:2006.15704) each process has the whole model; with `fsdp` (Zhao et al. 2023, arXiv:2304.11277; torch's
`fully_shard`, FSDP2) each has its part of every parameter and moment, and a layer is gathered while it computes.
Results equal one process's to rounding: sums over the batch are taken in another order.
"""

from __future__ import annotations

import datetime
import warnings
from pathlib import Path
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from harness.model.transformer import Transformer
from harness.spec.recipe import Recipe
from harness.train import shards
from harness.train.checkpoint import Progress, RunNote, persistent
from harness.train.compiled import Losses
from harness.train.eager import EagerStep
from harness.train.parallel import Parallel, unsplittable
from variants.errors import UserError
from variants.whole_batch import split_over

PATIENCE = datetime.timedelta(days=7)
"""How long a process waits for the others. Whoever started them notices earlier that nothing goes on."""


class Team:
    """One process of several; a `Crew` (harness/train/crew.py).

    Args:
        meeting: a file, new and seen by all, where the processes find each other.
    """

    def __init__(self, parallel: Parallel, rank: int, meeting: Path) -> None:
        self.parallel, self.rank = parallel, rank
        self.first = rank == 0
        self.scores = self.first or parallel.kind == "fsdp"
        self.history = [[0, str(parallel)]]  # the first step of each stretch, and who did it
        store = dist.FileStore(str(meeting), parallel.processes)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=parallel.processes, timeout=PATIENCE)

    def agree(self, wish: bool) -> bool:
        """Over gloo, whatever the device: a GPU's queue is not waited for."""
        vote = torch.tensor(int(wish))
        dist.all_reduce(vote, dist.ReduceOp.MAX)
        return bool(vote)

    def add(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, as a new tensor."""
        total = tensor.detach().clone()
        dist.all_reduce(total)
        return total

    def place(self, model: Transformer, device: torch.device) -> Transformer:
        """The model with its layers ready to be split; a layer at a time is on the device as a whole.

        Raises:
            UserError: the model cannot be split.
        """
        why = unsplittable(model, self.parallel)
        if why is not None:
            raise UserError(why)
        if self.parallel.kind == "ddp":
            return model.to(device)
        mesh = init_device_mesh(device.type, (self.parallel.processes,))
        for layer in model.layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
        register_fsdp_forward_method(model, "loss")
        return model

    def eager_step(
        self, model: Transformer, optimizer: torch.optim.Optimizer, recipe: Recipe, num_steps: int
    ) -> EagerStep:
        return TeamStep(self, model, optimizer, recipe, num_steps)

    def save(
        self,
        folder: Path,
        model: Transformer,
        optimizer: torch.optim.Optimizer,
        progress: Progress,
        *,
        keep_all: bool = False,
    ) -> None:
        shards.save(self, folder, model, optimizer, progress, keep_all=keep_all)

    def restore(
        self, folder: Path, model: Transformer, optimizer: torch.optim.Optimizer, last: int | None = None
    ) -> Progress | None:
        """As `checkpoint.restore`; says so where another number of processes, or kind, has come that far."""
        found = shards.restore(self, folder, model, optimizer, last)
        if found is None:
            return None
        progress, history = found
        before, now = history[-1][1], str(self.parallel)
        if before != now:
            sentence = f"trained by {before} up to step {progress.step}, the run goes on by {now}"
            warnings.warn(sentence, RunNote, stacklevel=2)
            history.append([progress.step, now])
        self.history = history
        return progress

    def remark(self) -> str:
        stretches = [f"by {who} from step {step}" for step, who in self.history]
        return f"trained {', '.join(stretches)}" if len(stretches) > 1 else ""

    def weights(self, model: Transformer) -> dict[str, Tensor]:
        """A tensor at a time is gathered by all."""
        whole = {}
        for name, tensor in persistent(model).items():
            full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
            if self.first:
                whole[name] = full.contiguous().cpu()
        return whole


class TeamStep(EagerStep):
    """A step of this process's part of the batch; gradients are averaged and clipped by their common norm."""

    def __init__(
        self, team: Team, model: Transformer, optimizer: torch.optim.Optimizer, recipe: Recipe, num_steps: int
    ) -> None:
        super().__init__(model, optimizer, recipe, num_steps)
        self.team = team
        self.whole: nn.Module | None = None
        if team.parallel.kind == "ddp":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # torch 2.13 renames the first; 2.11 has no other name
                self.whole = DistributedDataParallel(
                    Losses(model),
                    broadcast_buffers=False,  # a buffer may hold what this part of the batch counted
                    find_unused_parameters=True,  # a variant may own one that a forward leaves out
                )

    def __call__(self, batch: tuple[Tensor, Tensor], step: int) -> Tensor:
        """Takes the whole batch and returns its loss."""
        tokens, targets = (part.chunk(self.team.parallel.processes)[self.team.rank] for part in batch)
        with split_over(self.team.parallel.processes, self.team.add):
            loss = super().__call__((tokens, targets), step)
        if isinstance(self.norm, DTensor):
            self.norm = self.norm.full_tensor()
        return self.team.add(loss) / self.team.parallel.processes

    def losses(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return super().losses(batch) if self.whole is None else cast("tuple[Tensor, Tensor]", self.whole(*batch))
