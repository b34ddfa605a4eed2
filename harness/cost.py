"""What does an arm cost? Prints its ledger, FLOPs and parameters per module, without training it.

python -m harness.cost ffn=moe ffn.num_experts=16 --size 12x768
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from harness.cli import show
from harness.cli.arguments import TOKENS_HELP, Parser, add_model_flags, positive
from harness.cli.boundary import run_command
from harness.plan.ledger import Ledger, count
from harness.plan.match import match_arm, plan_baseline
from harness.spec.presets import preset
from harness.spec.recipe import Recipe
from harness.spec.sizes import resize
from harness.spec.tokens import Arm, parse_arms
from variants.errors import UserError


def parser() -> Parser:
    """The command line, with its help."""
    p = Parser(prog="python -m harness.cost", description="Print what an arm costs, without training it.")
    p.add_argument("tokens", nargs="*", metavar="slot=variant", help=TOKENS_HELP)
    add_model_flags(p)
    p.add_argument(
        "--vocab-size", type=positive(int), default=257, metavar="N", help="default %(default)s, bytes"
    )
    p.add_argument(
        "--d-ff",
        type=positive(int),
        metavar="N",
        help="width of the FFN or of one expert; default: what --match flops gives the arm in a study",
    )
    p.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    return run_command(lambda: cost(parser().parse_intermixed_args(argv)))


def cost(args: argparse.Namespace) -> int:
    """argv -> spec -> ledger -> text or JSON."""
    ledger = ledger_for(args)
    print(json.dumps(ledger.to_json(), indent=1) if args.json else show.ledger_text(ledger))
    return 0


def ledger_for(args: argparse.Namespace) -> Ledger:
    """The ledger of the one arm the tokens name, at the width a study would give it."""
    baseline = resize(preset(args.baseline), args.size, heads=args.heads)
    baseline = baseline.replace(seq_len=args.seq_len, vocab_size=args.vocab_size)
    arms = parse_arms(args.tokens, baseline)
    if len(arms) > 1:
        raise UserError(f"harness.cost prints one arm, the tokens name {len(arms)}; remove the commas")
    arm = arms[0] if arms else Arm(args.baseline, baseline)
    if args.d_ff is not None:
        return count(arm.spec.replace(d_ff=args.d_ff))
    tokens_per_step = Recipe().tokens_per_step
    # a budget of many steps, so that only the width is solved
    first = plan_baseline(Arm(args.baseline, baseline), tokens_per_step, num_steps=1_000_000)
    return match_arm(arm, first, "flops").ledger


if __name__ == "__main__":
    sys.exit(main())
