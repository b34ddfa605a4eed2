"""Aggregate tokens a second of independent runs: two workers of one thread each, against nanoGPT by its own loop.

    HARNESS_NANOGPT=CHECKOUT python -m tests.benchmarks.race_training 4x128 [--rounds 12] [--seconds 1]

nanoGPT and our own eager loop run one run after another on both cores, and nanoGPT, as somebody would who had thought
of it, two at once on one thread each. All take turns with a duplicate, the control, and with two processes that
multiply matrices, the ceiling. About 3 min a size, and one more where the compiler's cache is cold. Prints a table, or
with --json JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Sequence

from harness.train.compile import find_compiler
from tests.benchmarks.turns import (
    PRODUCT,
    SIZES,
    Rates,
    contenders,
    flops_per_token,
    race,
    ratio,
    steps_for,
    table,
)

PEER = "nanoGPT, one run on both cores"
PEER_TWICE = "nanoGPT, two runs at once"
OWN_LOOP = "eager, one run on both cores"
EAGER, COMPILED = "eager, two workers", "compiled, two workers"
CONTROL = "the same again"
CEILING = "matrix products, two at once"

GROUPS = {  # kind, processes, threads of each
    PEER: ("nanogpt", 1, 2),
    PEER_TWICE: ("nanogpt", 2, 1),
    OWN_LOOP: ("eager", 1, 2),
    EAGER: ("eager", 2, 1),
    COMPILED: ("compiled", 2, 1),
    CEILING: ("gemm", 2, 1),
    CONTROL: ("nanogpt", 1, 2),
}


def main(argv: Sequence[str] | None = None) -> None:
    p = argparse.ArgumentParser(description="Race two workers against nanoGPT.")
    p.add_argument("sizes", nargs="+", choices=list(SIZES))
    p.add_argument("--rounds", type=int, default=12, help="every other one backwards")
    p.add_argument("--seconds", type=float, default=1.0, help="of a turn")
    p.add_argument("--json", action="store_true")
    args = p.parse_args(argv)
    if args.rounds < 2:
        p.error(f"--rounds must be at least 2, one each way, got {args.rounds}")
    if "HARNESS_NANOGPT" not in os.environ:
        sys.exit("HARNESS_NANOGPT names no checkout; git clone https://github.com/karpathy/nanoGPT and set it")
    found = {size: raced(size, args.rounds, args.seconds) for size in args.sizes}
    if args.json:
        json.dump(found, sys.stdout)
    else:
        print("\n\n".join(shown(size, groups) for size, groups in found.items()))


def raced(size: str, rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """Of each group its tokens a second, and the ratios to the peer and to the ceiling."""
    kinds = {n: g for n, g in GROUPS.items() if g[0] != "compiled" or find_compiler() is not None}
    with contenders(size, kinds) as groups:
        rates = race(groups, steps_for(groups, seconds), rounds)
    return {name: figures(size, rates, name) for name in kinds if name != CEILING}


def figures(size: str, rates: Rates, name: str) -> dict[str, float]:
    """The quartiles of the ratio show how far the rounds differ among themselves."""
    tokens, flops = SIZES[size][4], SIZES[size][4] * flops_per_token(size)
    of_peer = [a[0] / b[0] for a, b in zip(rates[name], rates[PEER], strict=True)]
    low, _, high = statistics.quantiles(of_peer, n=4)
    return {
        "tokens_per_second": statistics.median(wall for wall, _ in rates[name]) * tokens,
        "ratio": ratio(rates, name, PEER, 0),
        "lower_quartile": low,
        "upper_quartile": high,
        "share_of_ceiling": ratio(rates, name, CEILING, 0) * flops / (2 * PRODUCT**3),
    }


def shown(size: str, groups: dict[str, dict[str, float]]) -> str:
    rows = [[size, "tokens/s", "ratio", "quartiles", "of the GEMM ceiling"]]
    for name, found in groups.items():
        quartiles = f"{found['lower_quartile']:.2f}-{found['upper_quartile']:.2f}"
        share = f"{found['share_of_ceiling']:.2f}"
        rows.append([name, f"{found['tokens_per_second']:,.0f}", f"{found['ratio']:.2f}", quartiles, share])
    return table(rows)


if __name__ == "__main__":
    main()
