"""Layers whose price is asked: experts and a convolution against the dense FFN, RMSNorm against LayerNorm.

    python -m tests.benchmarks.race_layers --device cuda --precision bf16 --widths 384,1024,2048
    OMP_NUM_THREADS=1 python -m tests.benchmarks.race_layers --device cpu --widths 128,384
    python -m tests.benchmarks.race_layers --device cuda --precision bf16 --widths 384,1024 --steps graph

Forward and backward of one layer on 4,096 tokens, its losses and the gradient of its input included. A mixture of 8
experts, top-2, has experts of half the dense width: equal active FLOPs. Contenders take turns in one process; a ratio
is the median over rounds of the ratio within a round, and `again` is the peer a second time. With --steps whole
training steps of a model of two such layers are timed instead, each 4,096 tokens.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from harness.spec.recipe import Recipe
from harness.spec.spec import Choice, Spec
from harness.train.device import choose_device, prepare_process
from harness.train.precision import Precision
from tests.benchmarks.race_stack import one_by_one, stack, take_turns
from tests.benchmarks.regression.variant_passes import SLOTS, draw
from tests.benchmarks.turns import table

TOKENS, SEQ_LEN = 4096, 256

Run = Callable[[int], object]


def main(argv: Sequence[str] | None = None) -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--device", default="auto")
    p.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    p.add_argument("--widths", default="128,384")
    p.add_argument("--rounds", type=int, default=9)
    how = p.add_mutually_exclusive_group()
    how.add_argument("--compile", action="store_true", help="each layer by torch.compile")
    how.add_argument("--steps", choices=("eager", "graph"), help="whole steps; as a graph by --stack 1 --compile on")
    p.add_argument("--json", type=Path, metavar="FILE")
    args = p.parse_args(argv)
    device = choose_device(args.device)
    prepare_process(device)
    found = {}
    for width in map(int, args.widths.split(",")):
        races = {activation: ffns(width, activation) for activation in ("gelu", "swiglu")}
        for what, layers in {**races, "norm": norms(width)}.items():
            runs = {}
            for name, (slot, spec) in layers.items():
                if args.steps:
                    runs[name] = steps(spec, device, args.precision, args.steps == "graph")
                else:
                    runs[name] = passes(slot, spec, device, args.precision == "bf16", args.compile)
            found[f"{width}, {what}"] = race(f"{width}, {what}", runs, device, args.rounds)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


def ffns(width: int, activation: str) -> dict[str, tuple[str, Spec]]:
    """Slot and spec by name, the dense peer first; `d_ff` is 4 widths, or 8/3 where the activation is gated."""
    d_ff = 4 * width if activation == "gelu" else 8 * width // 3 // 16 * 16
    spec = Spec(n_layers=1, d_model=width, n_heads=max(1, width // 64), d_ff=d_ff, seq_len=SEQ_LEN, vocab_size=257)
    spec = spec.replace(activation=Choice(activation))
    return {
        "dense": ("ffn", spec),
        "dense again": ("ffn", spec),
        "moe": ("ffn", spec.replace(ffn=Choice("moe"), d_ff=d_ff // 2)),
        "mixffn": ("ffn", spec.replace(ffn=Choice("mixffn"))),
    }


def norms(width: int) -> dict[str, tuple[str, Spec]]:
    """LayerNorm first."""
    _, spec = ffns(width, "gelu")["dense"]
    layer, rms = spec.replace(norm=Choice("layer")), spec.replace(norm=Choice("rms"))
    return {"layer": ("norm", layer), "layer again": ("norm", layer), "rms": ("norm", rms)}


def race(title: str, layers: dict[str, Run], device: torch.device, rounds: int) -> dict[str, float]:
    """Tokens/s over the first one's."""
    runs = {name: (1, run) for name, run in layers.items()}
    for _, run in runs.values():
        for number in range(5):
            run(number)
    rates = take_turns(runs, device, rounds, float("inf"), seconds=0.15)
    peer = next(iter(rates))
    ratios = {n: statistics.median(a / b for a, b in zip(r, rates[peer], strict=True)) for n, r in rates.items()}
    lines = [(title, "us", f"speed / {peer}")]
    lines += [(n, f"{1e6 / statistics.median(rates[n]):,.0f}", f"{ratio:.2f}") for n, ratio in ratios.items()]
    print(table(lines), flush=True)
    return ratios


def steps(spec: Spec, device: torch.device, precision: Precision, graph: bool) -> Run:
    """Training steps of a model of two layers."""
    spec, recipe = spec.replace(n_layers=2), Recipe(tokens_per_step=TOKENS)
    if graph:
        return stack(spec, recipe, device, precision, 1, True)
    return one_by_one(spec, recipe, device, precision)


def passes(slot: str, spec: Spec, device: torch.device, half: bool, compiled: bool) -> Run:
    """Forward and backward of the layer on random tokens."""
    module = layer(slot, spec).to(device)
    x = torch.randn(TOKENS // SEQ_LEN, SEQ_LEN, spec.d_model, device=device, requires_grad=True)
    gradient = torch.randn(x.shape, device=device)
    called = torch.compile(module) if compiled else module
    ends = [x, *module.parameters()]

    def run(number: int) -> list[Tensor]:
        with torch.autocast(device.type, dtype=torch.bfloat16) if half else nullcontext():
            y = called(x)
            losses = getattr(module, "auxiliary_loss", None)
        outputs, gradients = [y], [gradient.to(y.dtype)]
        if losses is not None:
            outputs.append(losses)
            gradients.append(torch.ones_like(losses))
        return list(torch.autograd.grad(outputs, ends, gradients))

    return run


def layer(slot: str, spec: Spec) -> nn.Module:
    """A layer with the initial values of a model's."""
    module, _, _ = SLOTS[slot](spec)
    draw(module.train(), spec)
    return module


if __name__ == "__main__":
    main()
