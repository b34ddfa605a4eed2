"""Layers whose price is asked: experts and a convolution against the dense FFN, RMSNorm against LayerNorm.

    python -m tests.benchmarks.race_layers --device cuda --precision bf16 --widths 384,1024,2048
    OMP_NUM_THREADS=1 python -m tests.benchmarks.race_layers --device cpu --widths 128,384

Forward and backward of one layer on 4,096 tokens, its losses and the gradient of its input included. A mixture of 8
experts, top-2, has experts of half the dense width: equal active FLOPs. Contenders take turns in one process; a ratio
is the median over rounds of the ratio within a round, and `again` is the peer a second time.
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

from harness.spec.spec import Choice, Spec
from harness.train.device import choose_device, prepare_process
from tests.benchmarks.race_stack import take_turns
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
    p.add_argument("--compile", action="store_true", help="each layer by torch.compile")
    p.add_argument("--json", type=Path, metavar="FILE")
    args = p.parse_args(argv)
    device = choose_device(args.device)
    prepare_process(device)
    found = {}
    for width in map(int, args.widths.split(",")):
        for activation in ("gelu", "swiglu"):
            layers = ffns(width, activation)
            name = f"{width}, {activation}"
            found[name] = race(name, layers, device, args.precision == "bf16", args.rounds, args.compile)
        found[f"{width}, norm"] = race(
            f"{width}, norm", norms(width), device, args.precision == "bf16", args.rounds, args.compile
        )
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


def race(
    title: str, layers: dict[str, tuple[str, Spec]], device: torch.device, half: bool, rounds: int, compiled: bool
) -> dict[str, float]:
    """Tokens/s over the first one's."""
    runs = {name: (1, passes(slot, spec, device, half, compiled)) for name, (slot, spec) in layers.items()}
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
