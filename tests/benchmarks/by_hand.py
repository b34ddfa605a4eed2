"""Runs as they are done by hand: nanoGPT's own train.py, on the data, the shape and the budget of a default run.

    HARNESS_NANOGPT=CHECKOUT python -m tests.benchmarks.by_hand --seeds 8 [--recipe harness] [--steps 4068]

It executes the file of the checkout (https://github.com/karpathy/nanoGPT) with another seed put in, the one thing that
its command line does not take, and prints a line of JSON a run: seconds, the final loss as train.py estimates it from
200 random batches, and the loss over the whole validation split in the harness's own windows, both in nats per byte.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import pickle
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from harness.data import dataset
from harness.data.byte_tokenizer import ByteTokenizer
from harness.data.corpora import stdlib
from harness.data.windows import evaluation_batches, per_document
from harness.score.perplexity import ValidationLoss
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec

STEPS = 4068
"""Of a default run: 1e12 training FLOPs at 2 x 48 with 512 tokens a step."""

SEED_IN_SOURCE = "torch.manual_seed(1337 + seed_offset)"

RECIPES: dict[str, dict[str, float]] = {
    "readme": {"learning_rate": 1e-3, "min_lr": 1e-4, "beta2": 0.99, "warmup_iters": 100},
    "harness": {"learning_rate": 6e-3, "min_lr": 0.0, "beta2": 0.95, "warmup_iters": 203},
}
"""What its README gives for a CPU (with config/train_shakespeare_char.py), and the default recipe of the harness."""


def main(argv: Sequence[str] | None = None) -> None:
    p = argparse.ArgumentParser(description="Train nanoGPT as by hand.")
    p.add_argument("--seeds", type=int, default=8, help="FIRST, FIRST + 1, and so on")
    p.add_argument("--first", type=int, default=0)
    p.add_argument("--recipe", choices=list(RECIPES), default="readme")
    p.add_argument("--steps", type=int, default=STEPS)
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args(argv)
    if "HARNESS_NANOGPT" not in os.environ:
        sys.exit("HARNESS_NANOGPT names no checkout; git clone https://github.com/karpathy/nanoGPT and set it")
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        data = write_data(Path(folder))
        for seed in range(args.first, args.first + args.seeds):
            json.dump(run(seed, args.recipe, args.steps, Path(folder), data), sys.stdout)
            print(flush=True)


def run(seed: int, recipe: str, steps: int, folder: Path, data: dataset.TokenizedData) -> dict[str, Any]:
    """Train, and score what train.py leaves behind."""
    started = time.perf_counter()
    names, printed = train_py(seed, {**settings(folder, steps), **RECIPES[recipe]})
    wall = time.perf_counter() - started
    estimates = re.findall(rf"step {steps}: .*val loss ([\d.]+)", printed)
    milliseconds = [float(found) for found in re.findall(r"time ([\d.]+)ms", printed)]
    return {
        "seed": seed,
        "recipe": recipe,
        "steps": steps,
        "seconds": round(wall, 2),
        "median_step_ms": float(np.median(milliseconds)),
        "sampled": float(estimates[0]),
        "whole": whole_split(names["model"], data),
    }


def write_data(folder: Path) -> dataset.TokenizedData:
    """The default corpus as train.py reads it."""
    data = dataset.prepare(stdlib.load(), ByteTokenizer(), folder / "cache")
    for name, split in (("train", data.train), ("val", data.validation)):
        split.astype(np.uint16).tofile(folder / f"{name}.bin")
    (folder / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": data.vocab_size}))
    return data


def settings(folder: Path, steps: int) -> dict[str, Any]:
    """Of the shape and budget of a default run. Evaluated are the first step and the last."""
    spec, recipe = Spec(), Recipe()
    return {
        "dataset": folder,
        "out_dir": folder / "out",
        "device": "cpu",
        "compile": False,
        "dtype": "float32",
        "n_layer": spec.n_layers,
        "n_embd": spec.d_model,
        "n_head": spec.n_heads,
        "block_size": spec.seq_len,
        "batch_size": recipe.tokens_per_step // spec.seq_len,
        "gradient_accumulation_steps": 1,
        "bias": True,
        "dropout": 0.0,
        "max_iters": steps,
        "lr_decay_iters": steps,
        "eval_interval": steps,
        "always_save_checkpoint": False,
    }


def train_py(seed: int, chosen: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """What the checkout's train.py leaves in its names, and what it printed."""
    checkout = Path(os.environ["HARNESS_NANOGPT"]).resolve()
    source = (checkout / "train.py").read_text(encoding="utf-8")
    assert source.count(SEED_IN_SOURCE) == 1, "another train.py than the one this was written for"
    code = compile(source.replace(SEED_IN_SOURCE, f"torch.manual_seed({seed})"), "train.py", "exec")
    sys.path[:0] = [] if str(checkout) in sys.path else [str(checkout)]
    sys.argv = ["train.py", *(f"--{name}={value}" for name, value in chosen.items())]
    names: dict[str, Any] = {"__name__": "__main__"}
    printed = io.StringIO()
    with contextlib.chdir(checkout), contextlib.redirect_stdout(printed):
        exec(code, names)
    return names, printed.getvalue()


@torch.no_grad()
def whole_split(model: Any, data: dataset.TokenizedData) -> float:
    """Nats per byte over the validation split, in the windows in which the harness scores."""
    model.eval()
    nats = np.zeros(len(data.validation) - 1)
    for tokens, targets, index in evaluation_batches(data.validation, Spec().seq_len, 16):
        logits, _ = model(tokens, targets)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        nats[index.flatten().numpy()] = loss.double().numpy()
    return ValidationLoss(per_document(nats, data)).scores["nats_per_byte"]


if __name__ == "__main__":
    main()
