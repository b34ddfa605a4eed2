"""What a training process adds to the bare forward, backward and optimizer step: CPU time, in turns, one thread.

    python -m tests.benchmarks.race_trainer [--rounds 20] [--steps 200]

The trainer's loop is raced against the same torch calls in a row, of which the clipping is one, since it is part of the
mathematics. What comes once in a while, or once a run, is timed by itself and spread over a default run: a checkpoint
every 15 s, the validation of the whole split, and the rest of what a worker does for a run (reading the data, building
the model, keeping weights and record). A process of its own, because under pytest every call checks its shapes. Where a
model's tensors lie in memory decides a few percent of its speed, so they lie elsewhere in each turn. About 3 min on a
quiet core.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from harness.data.batches import Batches
from harness.data.byte_tokenizer import ByteTokenizer
from harness.data.corpora import stdlib
from harness.data.dataset import TokenizedData, prepare
from harness.engine.job import Job, data_folder, execute
from harness.model.transformer import Transformer
from harness.plan.ledger import count
from harness.score.perplexity import validation_loss
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec
from harness.train import checkpoint
from harness.train.crew import ALONE, Alone, Crew
from harness.train.device import prepare_process
from harness.train.eager import EagerStep
from harness.train.optimizer import make_optimizer
from harness.train.trainer import CHECKPOINT_SECONDS, train
from tests.benchmarks.turns import table

STEPS = 4068
"""Of a default run: 1e12 training FLOPs at 2 x 48 with 512 tokens a step."""

SPEC, RECIPE = Spec(), Recipe()

Run = Callable[[], object]
"""What is timed."""


@dataclass(frozen=True)
class Found:
    """CPU seconds: of a bare step; beyond it in the trainer's loop, and in a duplicate of the bare one; of the loop
    around a step that does nothing; of what comes now and then or once a run. `saved_wall` is the wall clock of a
    checkpoint, which waits for the disk.
    """

    bare: float
    trainer: float
    control: float
    idle: float
    saved: float
    saved_wall: float
    validation: float
    rest: float


def main(argv: Sequence[str] | None = None) -> None:
    p = argparse.ArgumentParser(description="Measure what the trainer adds to the bare step.")
    p.add_argument("--rounds", type=int, default=40, help="every other one backwards")
    p.add_argument("--steps", type=int, default=100, help="of a turn")
    p.add_argument("--once", type=int, default=5, help="times that what comes once is measured")
    p.add_argument("--json", action="store_true")
    args = p.parse_args(argv)
    prepare_process(torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), args.rounds, args.steps, args.once)
    print(json.dumps(dataclasses.asdict(found)) if args.json else shown(found))


def measure(folder: Path, rounds: int, steps: int, once: int) -> Found:
    data = prepare(stdlib.load(), ByteTokenizer(), data_folder(folder))
    loops = {"bare": bare(data, steps), "trainer": trainer(data, steps, folder), "bare again": bare(data, steps)}
    seconds = take_turns(loops, rounds)
    step = statistics.median(seconds["bare"]) / steps
    beyond = {name: (ratio_to_bare(seconds, name) - 1) * step for name in ("trainer", "bare again")}
    idle = statistics.median(clocks(trainer(data, 10 * steps, folder, Idle())())[0] for _ in range(once))
    saving, model = saver(folder / "saved"), Transformer(SPEC, seed=0)
    saves = [clocks(saving) for _ in range(5 * once)]
    validation = statistics.median(clocks(lambda: validation_loss(model, data))[0] for _ in range(once))
    run = statistics.median(clocks(whole_run(data, folder / str(i), steps))[0] for i in range(once))
    return Found(
        bare=step,
        trainer=beyond["trainer"],
        control=beyond["bare again"],
        idle=idle / (10 * steps),
        saved=statistics.median(cpu for cpu, _ in saves),
        saved_wall=statistics.median(wall for _, wall in saves),
        validation=validation,
        rest=run - steps * (step + beyond["trainer"]) - validation,
    )


def bare(data: TokenizedData, steps: int) -> Callable[[], Run]:
    """Torch calls in a row, over batches that are there."""
    source = batches_of(data)
    batches = [source.batch(step) for step in range(steps)]

    def prepared() -> Run:
        model = Transformer(SPEC, seed=0).train()
        optimizer, parameters = make_optimizer(model, RECIPE), list(model.parameters())

        def run() -> None:
            for batch in batches:
                model.loss(*batch).backward()
                nn.utils.clip_grad_norm_(parameters, RECIPE.clip)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)

        return run

    return prepared


class IdleStep(EagerStep):
    """Does nothing."""

    loss = norm = torch.tensor(1.0)

    def __call__(self, batch: tuple[Tensor, Tensor], step: int) -> Tensor:
        return self.loss


class Idle(Alone):
    """Its steps do nothing, so that what `train` does between them is left: a difference of two long times has more
    noise than all of it."""

    def eager_step(
        self, model: Transformer, optimizer: torch.optim.Optimizer, recipe: Recipe, num_steps: int
    ) -> EagerStep:
        return IdleStep(model, optimizer, recipe, num_steps)


def trainer(data: TokenizedData, steps: int, folder: Path, crew: Crew = ALONE) -> Callable[[], Run]:
    """`train` with its batches, losses, checks and looks; no checkpoint falls into so few steps."""

    def prepared() -> Run:
        model, source = Transformer(SPEC, seed=0), batches_of(data)
        where = folder / "none"
        return lambda: train(model, source, RECIPE, steps, folder=where, checkpoint_seconds=1e9, crew=crew)

    return prepared


def batches_of(data: TokenizedData) -> Batches:
    return Batches(data.train, SPEC.seq_len, RECIPE.tokens_per_step // SPEC.seq_len, 0)


def saver(folder: Path) -> Run:
    """A checkpoint of a default run at its end, when the losses are longest."""
    model = Transformer(SPEC, seed=0).train()
    optimizer = make_optimizer(model, RECIPE)
    tokens = torch.randint(SPEC.vocab_size, (4, SPEC.seq_len))
    model.loss(tokens, tokens).backward()
    optimizer.step()
    return lambda: checkpoint.save(folder, model, optimizer, checkpoint.Progress(STEPS, torch.zeros(2, STEPS), 1.0))


def whole_run(data: TokenizedData, store: Path, steps: int) -> Run:
    """All that a worker does for a run: its record and its weights are in the store afterwards."""
    prepare(stdlib.load(), ByteTokenizer(), data_folder(store))
    flops = count(SPEC).training_flops_per_token
    job = Job(SPEC, RECIPE, steps, flops, 0, data.sha256, str(store), "cpu", checkpoint_seconds=1e9)
    return lambda: execute(job)


def take_turns(calls: Mapping[str, Callable[[], Run]], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each call in each round, after one that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    rng = random.Random(0)
    for number in range(rounds + 1):
        for name in list(calls)[:: 1 if number % 2 == 0 else -1]:
            held = [torch.empty(rng.randrange(1, 2**14)) for _ in range(20)]
            holes = held[::2]
            del held
            cpu, _ = clocks(calls[name]())
            del holes
            if number:
                seconds[name].append(cpu)
    return seconds


def clocks(call: Run) -> tuple[float, float]:
    """CPU seconds of this process, and the wall clock's."""
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    return time.process_time() - cpu, time.perf_counter() - wall


def ratio_to_bare(seconds: Mapping[str, Sequence[float]], name: str) -> float:
    return statistics.median(a / b for a, b in zip(seconds[name], seconds["bare"], strict=True))


def shown(found: Found) -> str:
    """Shares of the bare steps of a default run."""
    run = STEPS * found.bare
    saves = run / CHECKPOINT_SECONDS
    parts = {
        "the trainer's loop": STEPS * found.trainer,
        "bare again (control)": STEPS * found.control,
        "the loop around idle steps": STEPS * found.idle,
        f"{saves:.1f} checkpoints": saves * found.saved,
        f"{saves:.1f} checkpoints, wall clock": saves * found.saved_wall,
        "validation of the whole split": found.validation,
        "the rest of a run": found.rest,
    }
    added = STEPS * found.trainer + saves * found.saved_wall + found.validation + found.rest
    parts["loop, checkpoints, validation, rest"] = added
    rows = [["of a default run", "seconds", "share"], [f"{STEPS} bare steps", f"{run:.2f}", ""]]
    return table(rows + [[name, f"{value:.3f}", f"{value / run:+.1%}"] for name, value in parts.items()])


if __name__ == "__main__":
    main()
