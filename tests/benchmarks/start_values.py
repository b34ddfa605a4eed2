"""How much of the loss at the default size is how the values start: ours, GPT-2's, and one of the two in part.

    python -m tests.benchmarks.start_values --seeds 3     # 9 min on a core

GPT-2's are N(0, 0.02), of what writes to the residual stream 0.02 / sqrt(2 n_layers), at every width (nanoGPT's
model.py has the same). A line of JSON a run of 4,068 steps with the default recipe: nats per byte over the whole
validation split.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from harness.data.batches import Batches
from harness.data.byte_tokenizer import ByteTokenizer
from harness.data.corpora import stdlib
from harness.data.dataset import prepare
from harness.model.initialise import role_of
from harness.model.transformer import Transformer
from harness.score.perplexity import validation_loss
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec
from harness.train.device import prepare_process
from harness.train.trainer import train

STEPS = 4068
"""Of a default run: 1e12 training FLOPs at 2 x 48 with 512 tokens a step."""

LIKE_GPT2 = {
    "ours": (),
    "GPT-2's": ("embedding", "input", "output"),
    "its embeddings alone": ("embedding",),
    "its matrices alone": ("input", "output"),
}
"""Which roles start as in GPT-2."""


def main(argv: Sequence[str] | None = None) -> None:
    p = argparse.ArgumentParser(description="Measure what the initial values do to the loss.")
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--steps", type=int, default=STEPS)
    args = p.parse_args(argv)
    prepare_process(torch.device("cpu"))
    spec, recipe = Spec(), Recipe()
    with tempfile.TemporaryDirectory() as folder:
        data = prepare(stdlib.load(), ByteTokenizer(), Path(folder))
        for seed in range(args.seeds):
            batches = Batches(data.train, spec.seq_len, recipe.tokens_per_step // spec.seq_len, seed)
            for start, roles in LIKE_GPT2.items():
                model = started(spec, seed, roles)
                train(model, batches, recipe, args.steps, folder=Path(folder) / "none", checkpoint_seconds=1e9)
                loss = validation_loss(model, data).scores["nats_per_byte"]
                json.dump({"start": start, "seed": seed, "loss": loss}, sys.stdout)
                print(flush=True)


@torch.no_grad()
def started(spec: Spec, seed: int, roles: Sequence[str]) -> Transformer:
    """A model whose matrices of `roles` start as in GPT-2; a table of positions is an embedding there."""
    model = Transformer(spec, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for path, parameter in model.named_parameters():  # a tied head comes once, as the embedding
        role = role_of(model.get_submodule(path.rpartition(".")[0]), path) if parameter.ndim == 2 else None
        if role in roles:
            std = 0.02 / math.sqrt(2 * spec.n_layers) if role == "output" else 0.02
            parameter.normal_(0.0, std, generator=generator)
    return model


if __name__ == "__main__":
    main()
