"""Aggregate training tokens/s of stacks of seeds against nanoGPT, and MFU at 12 x 768, on one GPU in under 8 minutes.

    HARNESS_NANOGPT=/path/to/nanoGPT python -m tests.benchmarks.race_stack --minutes 8 --json race.json
    python -m tests.benchmarks.race_stack --device cpu --sizes nano --rows 4 --rounds 5      # without nanoGPT

Contenders of a size take turns in one process, every other round backwards; a ratio is the median over rounds of the
ratio within a round, and `again` is a duplicate of the peer. The peer is nanoGPT, one run after another, eager and
compiled as its train.py does, in bf16 on a GPU; without HARNESS_NANOGPT it is our own eager step, and the table says
so. What does not fit, does not compile or comes after the minutes is listed with its reason.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.data.stacked_batches import StackedBatches
from harness.plan.ledger import count
from harness.spec.recipe import Recipe
from harness.spec.sizes import SIZES, default_heads
from harness.spec.spec import Spec
from harness.train.compiled_stack import CompiledStack
from harness.train.device import choose_device, prepare_process
from harness.train.eager import EagerStep
from harness.train.optimizer import make_optimizer
from harness.train.precision import Precision, make_model
from harness.train.stack import Stack, quiet_vmap
from tests.benchmarks.contender import text
from tests.benchmarks.turns import table

Step = Callable[[int], Any]

STEPS = 10**6
"""Of the schedule: no turn comes near its end."""

BATCHES = {"small": (1024, 12, 50304)}
"""seq_len, sequences a step, vocabulary: nanoGPT's for its 124M model on one GPU; else the default recipe's."""

WARM_UP, TURN_SECONDS = 4, 0.7
"""Steps before the first turn, and the length of a turn: a shorter one would measure the clock."""


def main(argv: Sequence[str] | None = None) -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--device", default="auto")
    p.add_argument("--sizes", default="nano,micro,small")
    p.add_argument("--rows", default="1,8,32,128", help="of the stacks; at small a single one")
    p.add_argument("--precision", default="auto", help="fp32, bf16 or auto: bf16 on a GPU")
    p.add_argument("--compile", default="auto", choices=("auto", "on", "off"), help="auto: on a GPU")
    p.add_argument("--eager-rows", default="8", help="of the stacks that run eagerly too")
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--minutes", type=float, default=8.0, help="no contender is built after this share of it is gone")
    p.add_argument("--json", type=Path, metavar="FILE")
    args = p.parse_args(argv)
    device = choose_device(args.device)
    prepare_process(device)
    on_gpu = device.type == "cuda"
    precision = args.precision if args.precision != "auto" else ("bf16" if on_gpu else "fp32")
    compiles = args.compile == "on" or (args.compile == "auto" and on_gpu)
    deadline = time.monotonic() + 60 * args.minutes
    print(f"{torch.cuda.get_device_name(device) if on_gpu else 'CPU'}, torch {torch.__version__}, {precision}")
    ceiling = gemm_ceiling(device, torch.bfloat16 if precision == "bf16" else torch.float32)
    found = {}
    for i, size in enumerate(sizes := args.sizes.split(",")):
        left = deadline - time.monotonic()
        until = time.monotonic() + left / (len(sizes) - i)
        rows = [1] if size == "small" else [int(r) for r in args.rows.split(",")]
        eager = [1] if size == "small" else [int(r) for r in args.eager_rows.split(",")]
        found[size] = race_size(size, rows, eager, device, precision, compiles, args.rounds, until, ceiling)
        if args.json:
            args.json.write_text(json.dumps({"ceiling": ceiling, "precision": precision, **found}, indent=1))


def race_size(
    size: str,
    rows: Sequence[int],
    eager_rows: Sequence[int],
    device: torch.device,
    precision: Precision,
    compiles: bool,
    rounds: int,
    until: float,
    ceiling: float,
) -> dict[str, Any]:
    """Tokens/s of every contender and their ratios to the peer."""
    layers, d_model = SIZES[size]
    spec = Spec(n_layers=layers, d_model=d_model, n_heads=default_heads(d_model))
    seq_len, sequences, vocab = BATCHES.get(size, (spec.seq_len, Recipe().tokens_per_step // spec.seq_len, 257))
    spec = spec.replace(seq_len=seq_len, vocab_size=vocab)
    recipe = Recipe(tokens_per_step=seq_len * sequences)
    makers: dict[str, tuple[int, Callable[[], Step]]] = {}
    if "HARNESS_NANOGPT" in os.environ:
        for name, compiled in (("nanoGPT", False), ("nanoGPT compiled", True), ("nanoGPT again", False)):
            if compiles or not compiled:
                makers[name] = (1, lambda c=compiled: nanogpt(spec, sequences, device, precision, c))
    makers["ours"] = (1, lambda: one_by_one(spec, recipe, device, precision))
    if "HARNESS_NANOGPT" not in os.environ:
        makers["ours again"] = makers["ours"]
    for n in rows:
        if n in eager_rows or not compiles:
            makers[f"stack of {n}"] = (n, lambda n=n: stack(spec, recipe, device, precision, n, False))
        if compiles:
            makers[f"stack of {n}, compiled"] = (n, lambda n=n: stack(spec, recipe, device, precision, n, True))
    peer = next(iter(makers))
    ready, absent = build(makers, device, until - (until - time.monotonic()) / 4)
    rates = take_turns({name: (makers[name][0], step) for name, step in ready.items()}, device, rounds, until)
    per_token = count(spec).training_flops_per_token
    lines, numbers = [("", "tokens/s", f"/ {peer}", "share of GEMM ceiling")], {}
    for name, turns in rates.items():
        tokens = statistics.median(turns) * recipe.tokens_per_step
        ratio = statistics.median(a / b for a, b in zip(turns, rates[peer], strict=True))
        numbers[name] = {"tokens_per_second": tokens, "ratio": ratio, "mfu": tokens * per_token / ceiling}
        lines.append((name, f"{tokens:,.0f}", f"{ratio:.2f}", f"{100 * tokens * per_token / ceiling:.1f} %"))
    print(f"\n{size}: {layers} x {d_model}, {recipe.tokens_per_step} tokens a step of a run\n{table(lines)}")
    for name, why in absent.items():
        print(f"{name}: {why}")
    sys.stdout.flush()
    return {"contenders": numbers, "absent": absent}


def build(
    makers: dict[str, tuple[int, Callable[[], Step]]], device: torch.device, until: float
) -> tuple[dict[str, Step], dict[str, str]]:
    """Warm contenders, and why the others are not there."""
    ready, absent, done = {}, {}, 0
    for name, (_, make) in makers.items():
        if time.monotonic() > until and ready:
            absent[name] = "no time was left to build it"
            continue
        try:
            step = make()
            for done in range(WARM_UP):
                step(done)
            wait(device)
            ready[name] = step
        except Exception as error:  # out of memory, a compiler's complaint: the others go on
            absent[name] = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]} (after {done} steps)"
    return ready, absent


def take_turns(
    contenders: dict[str, tuple[int, Step]],
    device: torch.device,
    rounds: int,
    until: float,
    seconds: float = TURN_SECONDS,
) -> dict[str, list[float]]:
    """Steps/s times runs, of each contender in each round, in turns of about so many seconds."""
    steps = {name: max(1, round(seconds * timed(step, 3, device))) for name, (_, step) in contenders.items()}
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        if number and time.monotonic() > until:
            break
        for name in list(contenders)[:: 1 if number % 2 == 0 else -1]:
            runs, step = contenders[name]
            rates[name].append(runs * timed(step, steps[name], device))
    return rates


def timed(step: Step, steps: int, device: torch.device) -> float:
    """Steps/s, on a CPU of the thread's own time, which other processes do not take."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    wait(device)
    started = clock()
    for number in range(steps):
        step(number)
    wait(device)
    return steps / (clock() - started)


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def one_by_one(spec: Spec, recipe: Recipe, device: torch.device, precision: Precision) -> Step:
    """Our eager step of a single run."""
    model = make_model(spec, 0, precision).to(device).train()
    step, batches = EagerStep(model, make_optimizer(model, recipe), recipe, STEPS), batches_of(spec, recipe, 1, device)

    def call(number: int) -> None:
        tokens, targets = batches.batch(number)
        step((tokens[0], targets[0]), number)

    return call


def stack(spec: Spec, recipe: Recipe, device: torch.device, precision: Precision, rows: int, compiled: bool) -> Step:
    """A stack of seeds, each with its own data."""
    models = [make_model(spec, seed, precision).to(device).train() for seed in range(rows)]
    optimizers, batches = [make_optimizer(model, recipe) for model in models], batches_of(spec, recipe, rows, device)
    if compiled:
        step: Any = CompiledStack(models, optimizers, recipe, STEPS, rows, batches.batch(0))
    else:
        step = Stack(models, optimizers, recipe, STEPS, rows)

    def call(number: int) -> None:
        with quiet_vmap():
            step(batches.batch(number), number)

    return call


def batches_of(spec: Spec, recipe: Recipe, rows: int, device: torch.device) -> StackedBatches:
    return StackedBatches(
        text(spec.vocab_size), spec.seq_len, recipe.tokens_per_step // spec.seq_len, range(rows), device
    )


def nanogpt(spec: Spec, sequences: int, device: torch.device, precision: Precision, compiled: bool) -> Step:
    """The loop of its train.py with its settings for a GPU: bf16 by autocast, fused AdamW, pinned batches. Kernels may
    be those that do not repeat, as there; ours are not.
    """
    sys.path.insert(0, os.environ["HARNESS_NANOGPT"])
    from model import GPT, GPTConfig  # pyright: ignore

    shape = {"n_layer": spec.n_layers, "n_embd": spec.d_model, "n_head": spec.n_heads}
    made = GPT(GPTConfig(block_size=spec.seq_len, vocab_size=spec.vocab_size, dropout=0.0, bias=True, **shape))
    model = made.to(device).train()
    optimizer = model.configure_optimizers(0.1, 1e-3, (0.9, 0.95), device.type)
    run = torch.compile(model) if compiled else model
    data = text(spec.vocab_size).astype(np.uint16)
    half = precision == "bf16"

    def part(starts: torch.Tensor, shift: int) -> torch.Tensor:
        rows = [torch.from_numpy(data[i + shift : i + shift + spec.seq_len].astype(np.int64)) for i in starts]
        batch = torch.stack(rows)
        return batch.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else batch

    def step(number: int) -> None:
        torch.use_deterministic_algorithms(False)
        starts = torch.randint(len(data) - spec.seq_len - 1, (sequences,))
        x, y = part(starts, 0), part(starts, 1)
        with torch.autocast(device.type, dtype=torch.bfloat16) if half else nullcontext():
            _, loss = run(x, y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")

    return step


def gemm_ceiling(device: torch.device, dtype: torch.dtype, seconds: float = 1.0) -> float:
    """FLOP/s of the best product of two large square matrices."""
    size = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best, started = 0.0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        best = max(best, timed(lambda _: torch.mm(a, b), 4, device))
    return 2 * size**3 * best


if __name__ == "__main__":
    main()
