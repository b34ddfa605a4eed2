"""The article's claims, each put to the test as it was declared; the last word is one of few, with its scope.

python -m harness.claims --list
python -m harness.claims --scale nano
python -m harness.claims C1 C6 --seeds 8
python -m harness.claims --report-only

A claim is a file, claims/C1.toml; docs/claims.md says how to add one. Runs are shared with every other study.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from harness.cli.arguments import Parser, add_engine_flags, add_parallel_flags, add_place_flags, positive
from harness.cli.boundary import run_command
from harness.cli.claims import (
    SCALES,
    Book,
    Planned,
    bench_of,
    closing,
    ledger_record,
    open_ledger,
    plan_text,
    run_ledger,
    scale_named,
    setting_of,
    with_seeds,
)
from harness.cli.prepare import leave_nothing_behind, prepare_data
from harness.cli.run import LOG, Place, say
from harness.records.claim import FOLDER, choose_claims, read_claims
from harness.reporting.claims import claims_json, rebuild_claims
from harness.score.throughput.arm import NUM_BLOCKS
from harness.train.device import choose_device
from variants.errors import UserError


def parser() -> Parser:
    """The command line, with its help."""
    p = Parser(
        prog="python -m harness.claims",
        description="Test declared claims: published figures beside ours, and one word for each.",
        epilog="The report is OUT/claims/report.html. A ledger that was stopped continues with the same command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("ids", nargs="*", metavar="ID", help="claims, e.g. C1 C6; default all")
    p.add_argument("--list", action="store_true", help="show the claims, then leave")
    told = "; ".join(f"{name}: {scale.size}, {scale.note}" for name, scale in SCALES.items())
    p.add_argument("--scale", default="nano", metavar="NAME", help=f"{told}; default %(default)s")
    p.add_argument("--seeds", type=positive(int), metavar="N", help="seeds of every claim; default what each declares")
    length = p.add_mutually_exclusive_group()
    length.add_argument("--budget", type=positive(float), metavar="FLOPS", help="of a run; default by scale")
    length.add_argument("--steps", type=positive(int), metavar="N", help="of the baseline, instead of a budget")
    p.add_argument("--lr", type=positive(float), help="peak learning rate of every arm; default by scale")
    p.add_argument("--data", default="stdlib", metavar="NAME|PATH", help="as for harness.ablate; default %(default)s")
    p.add_argument("--tokenizer", default="bytes", metavar="bytes|bpe:VOCAB", help="default %(default)s")
    p.add_argument(
        "--blocks", type=positive(int), default=NUM_BLOCKS, metavar="N", help="timed blocks a case; default %(default)s"
    )
    p.add_argument("--claims", type=Path, default=FOLDER, metavar="DIR", help="a folder of declarations; default ours")
    p.add_argument("--dry-run", action="store_true", help="show the plan with its runs and minutes; train nothing")
    p.add_argument("--report-only", action="store_true", help="rebuild the report from the evidence in OUT/claims")
    p.add_argument("--json", action="store_true", help="claims.json on stdout, everything else on stderr")
    add_place_flags(p)
    add_engine_flags(p)
    add_parallel_flags(p, shown=False)
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see harness/cli/boundary.py)."""
    argv = list(sys.argv[1:] if argv is None else argv)
    return run_command(lambda: claims(parser().parse_intermixed_args(argv), argv))


def claims(args: argparse.Namespace, argv: Sequence[str]) -> int:
    """argv -> declarations -> plan -> evidence -> words -> report."""
    folder, started = args.out / "claims", time.monotonic()
    if args.report_only:
        print("\n".join(rebuild_claims(folder)))
        return 0
    declared = read_claims(args.claims)
    chosen = [with_seeds(claim, args.seeds) for claim in choose_claims(declared, args.ids)]
    if args.list:
        print("\n".join(f"{claim.id:<4} {claim.title}" for claim in chosen))
        return 0
    if args.compile == "on":
        raise UserError("the claims share runs, and mixtures cannot be compiled; leave --compile on out")
    if args.parallel is not None or args.nproc is not None:
        raise UserError("the runs of a ledger are trained by one process each; leave out --parallel and --nproc")
    choose_device(args.device)
    args.seq_len = scale_named(args.scale).seq_len
    place = Place.of(args)
    place.engine(folder / LOG)  # a wrong engine is refused before any text is read
    with leave_nothing_behind(args.out, place.store):
        data = prepare_data(args, place.store)
        setting = setting_of(args, data.vocab_size)
        plan = Planned.of(chosen, setting, data, place)
        ledger = ledger_record(args, argv, setting, data, declared)
        say(plan_text(plan, setting, args, data, place))
        if args.dry_run:
            return 0
        ledger = open_ledger(folder, ledger)
    book = Book(folder, plan, setting, ledger, place)
    found = run_ledger(book, bench_of(book, data, args.blocks))
    print(closing(found, folder, started), file=sys.stderr if args.json else sys.stdout)
    if args.json:
        print(json.dumps(claims_json(ledger, found), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
