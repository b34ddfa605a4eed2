"""How fast is an arm, and in how much memory? Times the baseline and the arms side by side, without training them.

python -m harness.throughput norm=rms
python -m harness.throughput position=rope attention=gqa,mla --size 6x384 --threads 2 --json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from harness.cli.arguments import TOKENS_HELP, Parser, add_model_flags, positive
from harness.cli.boundary import run_command
from harness.plan.match import match_arm, plan_baseline
from harness.score.throughput.arm import NUM_BLOCKS, Settings
from harness.score.throughput.measure import Candidate, measure
from harness.score.throughput.results import ArmFacts, Row, Throughput
from harness.score.throughput.workloads import contexts_of
from harness.spec.presets import preset
from harness.spec.recipe import Recipe
from harness.spec.sizes import resize
from harness.spec.spec import Spec
from harness.spec.tokens import Arm, parse_arms
from harness.train.device import choose_device
from variants.errors import UserError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def parser() -> Parser:
    """The command line, with its help."""
    p = Parser(prog="python -m harness.throughput", description="Time the baseline and arms side by side.")
    p.add_argument("tokens", nargs="*", metavar="slot=variant", help=TOKENS_HELP)
    add_model_flags(p)
    recipe = Recipe()
    p.add_argument(
        "--tokens-per-step",
        type=positive(int),
        default=recipe.tokens_per_step,
        metavar="N",
        help="tokens in a training step; default %(default)s",
    )
    p.add_argument(
        "--batch-sizes",
        type=positive(int),
        nargs="+",
        default=[1, 32],
        metavar="N",
        help="texts read or written at once; default 1 32",
    )
    p.add_argument(
        "--vocab-size", type=positive(int), default=Spec().vocab_size, metavar="N", help="default 257, bytes"
    )
    p.add_argument(
        "--max-context",
        type=positive(int),
        metavar="TOKENS",
        help="longest context to decode at, doubling from 64; default 8 times --seq-len",
    )
    p.add_argument(
        "--blocks",
        type=positive(int),
        default=NUM_BLOCKS,
        metavar="N",
        help="timed blocks of each arm and case, at least 2; default %(default)s",
    )
    p.add_argument(
        "--threads",
        type=positive(int),
        default=1,
        metavar="N",
        help="CPU threads; default 1, as a training process has",
    )
    p.add_argument("--dtype", choices=DTYPES, default="float32", help="default %(default)s")
    p.add_argument("--compile", action="store_true", help="torch.compile for training and prefill")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps; default %(default)s")
    p.add_argument(
        "--store",
        type=Path,
        default=Path("reports/store"),
        metavar="DIR",
        help="where this device's ceilings are kept; default %(default)s",
    )
    p.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    return run_command(lambda: throughput(parser().parse_intermixed_args(argv)))


def throughput(args: argparse.Namespace) -> int:
    """argv -> matched arms -> timings -> text or JSON."""
    candidates = candidates_of(args)
    device = choose_device(args.device)
    threads = torch.get_num_threads()
    torch.set_num_threads(args.threads)
    try:
        result = measure(
            candidates,
            settings_of(args),
            device,
            args.store,
            on_progress=lambda what: print(f"timing {what}", file=sys.stderr),
        )
    finally:
        torch.set_num_threads(threads)
    print(json.dumps(result.to_json(), indent=1) if args.json else throughput_text(result))
    return 0


def candidates_of(args: argparse.Namespace) -> list[Candidate]:
    """The baseline, and the arms at the width that gives them its training FLOPs per token."""
    spec = resize(preset(args.baseline), args.size, heads=args.heads, seq_len=args.seq_len)
    baseline = Arm(args.baseline, spec.replace(vocab_size=args.vocab_size))
    # a budget of many steps, so that only the width is solved
    first = plan_baseline(baseline, args.tokens_per_step, num_steps=1_000_000)
    arms = [match_arm(arm, first, "flops") for arm in parse_arms(args.tokens, baseline.spec)]
    return [Candidate(arm.name, arm.ledger) for arm in (first, *arms)]


def settings_of(args: argparse.Namespace) -> Settings:
    """What the flags ask for.

    Raises:
        UserError: too few blocks for an interval, or a step shorter than a text.
    """
    if args.blocks < 2:
        raise UserError(f"--blocks must be at least 2, or there is no interval, got {args.blocks}; try {NUM_BLOCKS}")
    if args.tokens_per_step < args.seq_len:
        raise UserError(f"--tokens-per-step must be at least --seq-len {args.seq_len}, got {args.tokens_per_step}")
    contexts = None if args.max_context is None else tuple(contexts_of(args.seq_len, args.max_context))
    return Settings(
        tokens_per_step=args.tokens_per_step,
        batch_sizes=tuple(dict.fromkeys(args.batch_sizes)),
        decode_contexts=contexts,
        num_blocks=args.blocks,
        compiled=args.compile,
        dtype=DTYPES[args.dtype],
    )


def throughput_text(result: Throughput) -> str:
    """A table of the rows, then a paragraph an arm."""
    width = max(len(row.arm) for row in result.rows)
    lines = [
        f"{result.device}, {result.dtype}, {result.threads} threads, torch {result.torch}; "
        f"ceilings {_rate(result.ceilings.flops_per_s, 'FLOP/s')} and {_rate(result.ceilings.bytes_per_s, 'B/s')}",
        f"median of {result.num_blocks} blocks; against {result.arms[0].arm}: median ratio and its 95 % interval",
        "",
        f"{'':<{width}}  {'case':<26}{'tokens/s':>12}{'ms a call':>11}{'against the first':>26}"
        f"{'MFU':>8}{'bandwidth':>11}",
        *(f"{row.arm:<{width}}  {_row_text(row)}" for row in result.rows),
        "",
        *(line for arm in result.arms for line in _arm_lines(arm)),
    ]
    return "\n".join(lines)


def _row_text(row: Row) -> str:
    case = f"{row.kind} {row.batch_size} x {row.context}"
    if row.tokens_per_s is None or row.seconds is None:
        return f"{case:<26}{'N/A':>12}  {row.unavailable}"
    against = "" if row.against_first is None else "{:+.1f} % [{:+.1f}, {:+.1f}]".format(*row.against_first.percent)
    return (
        f"{case:<26}{row.tokens_per_s.median:>12,.0f}{1e3 * row.seconds.median:>11.3f}{against:>26}"
        f"{_percent(row.mfu):>8}{_percent(row.bandwidth):>11}"
    )


def _arm_lines(arm: ArmFacts) -> list[str]:
    memory = arm.peak_memory
    peak = "unknown" if memory.total_bytes is None else f"{memory.total_bytes / 2**20:,.1f} MiB"
    cache = "none" if arm.kv_bytes_per_token is None else f"{arm.kv_bytes_per_token:,.0f} bytes/token"
    lines = [
        f"{arm.arm}: {arm.kernels.text}",
        f"  peak memory of a training step {peak} ({memory.how}); KV cache {cache}",
    ]
    if arm.compile_seconds is not None:
        lines.append(f"  compiled in {arm.compile_seconds:.1f} s")
    if arm.routing == "random":
        lines.append("  experts are chosen by an untrained router, which a trained one need not resemble")
    for batch_size, fit in arm.decode_fits:
        if fit is not None:
            lines.append(
                f"  decode latency at batch {batch_size}: {1e3 * fit.a:.3f} ms + {1e6 * fit.b:.3f} ms per 1,000 tokens "
                f"of context [{1e6 * fit.b_ci95[0]:.3f}, {1e6 * fit.b_ci95[1]:.3f}]"
            )
    return lines


def _rate(value: float | None, unit: str) -> str:
    return f"{unit} unknown" if value is None else f"{value / 1e9:,.1f} G{unit}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


if __name__ == "__main__":
    sys.exit(main())
