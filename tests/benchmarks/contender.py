"""A process that trains on command, so that contenders can take turns on the same cores.

    python contender.py KIND THREADS LAYERS D_MODEL HEADS SEQ_LEN TOKENS_PER_STEP VOCAB

KIND is `eager` or `compiled`, ours, or `nanogpt`, from the checkout that HARNESS_NANOGPT names, or `gemm`, a product
of two matrices as a step. It prints `ready` after its warm-up; to each line with a number of steps on stdin it answers
with the wall and CPU seconds they took.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

WARM_UP = 5
"""Steps before the first measurement: memory is allocated, and code compiled, by then."""


def text(vocab_size: int) -> np.ndarray:
    """A million random tokens: speed does not depend on what they say."""
    return np.random.default_rng(0).integers(0, vocab_size, 1_000_000)


def ours(
    kind: str, layers: int, d_model: int, heads: int, seq_len: int, tokens: int, vocab: int
) -> Callable[[int], Any]:
    from harness.data.batches import Batches
    from harness.model.transformer import Transformer
    from harness.spec.recipe import Recipe
    from harness.spec.spec import Spec
    from harness.train.device import prepare_process
    from harness.train.optimizer import make_optimizer
    from harness.train.trainer import make_step

    threads = torch.get_num_threads()
    prepare_process(torch.device("cpu"))
    torch.set_num_threads(threads)
    spec = Spec(n_layers=layers, d_model=d_model, n_heads=heads, seq_len=seq_len, vocab_size=vocab)
    recipe = Recipe(tokens_per_step=tokens, lr=1e-3)
    model = Transformer(spec, seed=0).train()
    batches = Batches(text(vocab), seq_len, tokens // seq_len, 0)
    step = make_step(kind, model, make_optimizer(model, recipe), batches, recipe, 10**6, 0)  # pyright: ignore
    return lambda number: step(batches.batch(number), number)


def nanogpt(layers: int, d_model: int, heads: int, seq_len: int, tokens: int, vocab: int) -> Callable[[int], Any]:
    """The loop of its train.py with the settings its README gives for a CPU: no compile, no dropout, AdamW unfused."""
    sys.path.insert(0, os.environ["HARNESS_NANOGPT"])
    from model import GPT, GPTConfig  # pyright: ignore

    shape = {"n_layer": layers, "n_embd": d_model, "n_head": heads, "block_size": seq_len, "vocab_size": vocab}
    model = GPT(GPTConfig(dropout=0.0, bias=True, **shape)).train()
    optimizer = model.configure_optimizers(0.1, 1e-3, (0.9, 0.95), "cpu")
    data = text(vocab).astype(np.uint16)

    def batch() -> tuple[torch.Tensor, torch.Tensor]:
        starts = torch.randint(len(data) - seq_len, (tokens // seq_len,))
        x = torch.stack([torch.from_numpy(data[i : i + seq_len].astype(np.int64)) for i in starts])
        y = torch.stack([torch.from_numpy(data[i + 1 : i + 1 + seq_len].astype(np.int64)) for i in starts])
        return x, y

    def step(number: int) -> None:
        for group in optimizer.param_groups:
            group["lr"] = 1e-3
        _, loss = model(*batch())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def gemm(size: int = 1024) -> Callable[[int], Any]:
    """fp32, square: the ceiling of what a core can do of a step's arithmetic."""
    a, b, product = torch.randn(size, size), torch.randn(size, size), torch.empty(size, size)
    return lambda number: torch.mm(a, b, out=product)


def main() -> None:
    kind, threads, *sizes = sys.argv[1], int(sys.argv[2]), *map(int, sys.argv[3:])
    torch.set_num_threads(threads)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nanoGPT prints
    step = gemm() if kind == "gemm" else nanogpt(*sizes) if kind == "nanogpt" else ours(kind, *sizes)
    done = 0
    for _ in range(WARM_UP):
        step(done)
        done += 1
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            step(done)
            done += 1
        print(time.perf_counter() - wall, time.process_time() - cpu, file=answers, flush=True)


if __name__ == "__main__":
    assert Path(__file__).name == "contender.py"
    main()
