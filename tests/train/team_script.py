"""What each of several processes does for tests/train/test_team.py; torchrun starts them with a folder as argument."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from harness.model.transformer import Transformer
from harness.spec.recipe import Recipe
from harness.spec.spec import Choice, Spec, choose
from harness.train import trainer
from harness.train.device import prepare_process
from harness.train.parallel import Parallel
from harness.train.team import Team
from harness.train.trainer import train

SMALL = Spec(n_layers=2, d_model=24, n_heads=2, d_ff=32, seq_len=16, vocab_size=31)
SPECS = {
    "dense": SMALL.replace(tied_head=False, norm=Choice("dyt"), position=Choice("t5")),
    "moe": SMALL.replace(ffn=choose("moe", num_experts=4, balance=1.0)),
    "deepseek_v3": SMALL.replace(ffn=choose("deepseek_v3", num_experts=6, bias_rate=0.02, balance=0.1)),
}
RECIPE = Recipe(tokens_per_step=64, clip=0.5)
STEPS = 30
"""Of which 10 pass between two looks."""

CPU = torch.device("cpu")


class Texts:
    """4 sequences a step that count upwards from anywhere."""

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        starts = torch.randint(31, (4, 1), generator=torch.Generator().manual_seed(step))
        text = (starts + torch.arange(17)) % 31
        return text[:, :-1].contiguous(), text[:, 1:].contiguous()


def losses_with(team: Team, name: str, folder: Path, **changes: object) -> tuple[Tensor, dict[str, Tensor]]:
    """The losses of a run and its weights."""
    model = team.place(Transformer(SPECS[name], seed=0), CPU)
    training = train(model, Texts(), RECIPE, STEPS, folder=folder, crew=team, **changes)  # pyright: ignore
    return training.losses, team.weights(model)


class PartsTeam(Team):
    """A team that averages gradients and losses, and counts the experts' visits in its own part of the batch."""

    def add(self, tensor: Tensor) -> Tensor:
        return super().add(tensor) if tensor.ndim == 0 else tensor * self.parallel.processes


def main(folder: Path) -> None:
    """Every spec, both kinds, to the end; one that recomputes, one that counts in parts, one stopped on the way."""
    prepare_process(CPU)
    trainer.CHECK_EVERY = 10
    team = Team(Parallel("ddp", int(os.environ["WORLD_SIZE"])), int(os.environ["RANK"]), folder / "meeting")

    def keep(run: str, losses: Tensor, weights: dict[str, Tensor]) -> None:
        if team.first:
            save_file({"losses": losses, **weights}, folder / f"{run}.safetensors")

    for kind in ("ddp", "fsdp"):
        team.parallel = Parallel(kind, team.parallel.processes)
        team.history = [[0, str(team.parallel)]]
        for name in SPECS:
            keep(f"{kind} {name}", *losses_with(team, name, folder / kind / name))
    keep("fsdp moe recomputed", *losses_with(team, "moe", folder / "recomputed", recompute_activations=True))
    losses_with(team, "moe", folder / "stopped", should_stop=lambda: True)
    team.__class__ = PartsTeam
    keep("parts moe", *losses_with(team, "moe", folder / "parts"))
    team.agree(False)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
