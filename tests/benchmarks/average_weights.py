"""Does an average of the last weights spread less over seeds than the last weights, without another mean?

    python -m tests.benchmarks.average_weights layer >> averages.jsonl   # 8 seeds, 6 min on a core; so with rms
    python -m tests.benchmarks.average_weights --summary averages.jsonl

Default runs, whose cosine ends at 0, are trained once; on the way exponential averages are kept (EMA, Polyak and
Juditsky 1992) and plain means of every tenth step of the last share of the run (LAWA, Kaddour 2022,
arXiv:2209.14981). With --constant the learning rate stays at its peak, where averaging is meant to stand in for the
decay. Each is scored on the whole validation split. The summary has, for each, the mean, the spread over seeds, and the
spread of the paired difference of the two arms.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.data.batches import Batches
from harness.data.byte_tokenizer import ByteTokenizer
from harness.data.corpora import stdlib
from harness.data.dataset import TokenizedData, prepare
from harness.model.transformer import Transformer
from harness.score.perplexity import validation_loss
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec, choose
from harness.train.device import prepare_process
from harness.train.eager import EagerStep
from harness.train.optimizer import make_optimizer
from tests.benchmarks.turns import table

STEPS = 4068
"""Of a default run: 1e12 training FLOPs at 2 x 48 with 512 tokens a step."""

DECAYS = (0.99, 0.998)
"""Of the exponential averages, a step: of the last 100 and 500 steps."""

SHARES = (0.05, 0.2)
"""Of the run, over which every tenth step is averaged."""


def main(argv: Sequence[str] | None = None) -> None:
    p = argparse.ArgumentParser(description="Measure what averaging weights does to the spread over seeds.")
    p.add_argument("norm", nargs="?", choices=("layer", "rms"), default="layer")
    p.add_argument("--seeds", type=int, default=8)
    p.add_argument("--steps", type=int, default=STEPS)
    p.add_argument("--constant", action="store_true", help="no decay of the learning rate")
    p.add_argument("--summary", type=Path, help="lines of two arms that were printed before")
    args = p.parse_args(argv)
    if args.summary:
        print(summary([json.loads(line) for line in args.summary.read_text().splitlines()]))
        return
    prepare_process(torch.device("cpu"))
    recipe = dataclasses.replace(Recipe(), schedule="wsd", decay=0.0) if args.constant else Recipe()
    with tempfile.TemporaryDirectory() as folder:
        data = prepare(stdlib.load(), ByteTokenizer(), Path(folder))
        for seed in range(args.seeds):
            losses = run(Spec().replace(norm=choose(args.norm)), recipe, data, seed, args.steps)
            json.dump({"arm": args.norm, "constant": args.constant, "seed": seed, "losses": losses}, sys.stdout)
            print(flush=True)


def run(spec: Spec, recipe: Recipe, data: TokenizedData, seed: int, num_steps: int) -> dict[str, float]:
    """Nats per byte of the last weights and of each average."""
    batches = Batches(data.train, spec.seq_len, recipe.tokens_per_step // spec.seq_len, seed)
    model = Transformer(spec, seed=seed).train()
    step = EagerStep(model, make_optimizer(model, recipe), recipe, num_steps)
    weights = list(model.parameters())
    averages: dict[str, Average] = {f"EMA {decay}": Average(weights) for decay in DECAYS}
    averages |= {f"LAWA {share:.0%}": Average(weights) for share in SHARES}
    for number in range(num_steps):
        step(batches.batch(number), number)
        for decay in DECAYS:
            averages[f"EMA {decay}"].add(weights, max(1 - decay, 1 / (number + 1)))
        for share in SHARES:
            if number >= (1 - share) * num_steps and number % 10 == 0:
                mean = averages[f"LAWA {share:.0%}"]
                mean.add(weights, 1 / (mean.added + 1))
    return dict(scored(model, weights, averages, data))


class Average:
    """A running average of weights: each new set comes in with a share."""

    def __init__(self, weights: Sequence[Tensor]) -> None:
        self.values = [w.detach().clone() for w in weights]
        self.added = 0

    @torch.no_grad()
    def add(self, weights: Sequence[Tensor], share: float) -> None:
        torch._foreach_lerp_(self.values, list(weights), share)
        self.added += 1


@torch.no_grad()
def scored(
    model: Transformer, weights: Sequence[Tensor], averages: dict[str, Average], data: TokenizedData
) -> Iterator[tuple[str, float]]:
    yield "last", validation_loss(model, data).scores["nats_per_byte"]
    for name, average in averages.items():
        for weight, value in zip(weights, average.values, strict=True):
            weight.copy_(value)
        yield name, validation_loss(model, data).scores["nats_per_byte"]


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """Of the arms in `rows`, the second against the first, over the seeds that both have."""
    arms: dict[str, dict[int, dict[str, float]]] = {row["arm"]: {} for row in rows}
    for row in rows:
        arms[row["arm"]][row["seed"]] = row["losses"]
    (first, a), (second, b) = arms.items()
    seeds = sorted(a.keys() & b.keys())
    shown = [[f"{len(seeds)} seeds", first, "sd", second, "sd", "difference", "sd"]]
    for name in rows[0]["losses"]:
        columns = [[arm[seed][name] for seed in seeds] for arm in (a, b)]
        columns.append([y - x for x, y in zip(*columns, strict=True)])
        shown.append([name, *(f"{f(c):.4f}" for c in columns for f in (statistics.mean, statistics.stdev))])
    return table(shown)


if __name__ == "__main__":
    main()
