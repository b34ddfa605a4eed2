"""Search variants and settings with optuna, then judge the winner on fresh seeds against the baseline.

python -m harness.sweep norm=layer,rms activation=gelu,swiglu --trials 20
python -m harness.sweep ffn=dense,moe --space lr=1e-3:2e-2:log,ffn.num_experts=4:16 --pruner halving
python -m harness.sweep attention=mha,mqa --objective bits_per_byte,decode_tokens_per_second --trials 12
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence

from harness.cli import show
from harness.cli.arguments import (
    DEFAULT_BUDGET,
    Parser,
    add_engine_flags,
    add_model_flags,
    add_parallel_flags,
    add_place_flags,
    add_study_flags,
    positive,
    recipe_of,
    seeds_of,
)
from harness.cli.boundary import run_command
from harness.cli.prepare import baseline_of, leave_nothing_behind, prepare_data
from harness.cli.run import LOG, Place, engine_of, run_study, say
from harness.data.dataset import TokenizedData
from harness.engine.choose_scores import choose_scores
from harness.engine.objectives import parse_objectives
from harness.engine.study import study_record
from harness.engine.sweep import Sweep, planned
from harness.engine.sweep_storage import PRUNERS, SAMPLERS
from harness.engine.sweep_study import Search, confirmation_plan, search, sweep_record
from harness.records.sweep import SweepRecord, write_sweep
from harness.reporting.section import Material
from harness.reporting.sweep import write_sweep_report
from harness.spec.space import parse_choices, parse_space
from harness.train.device import choose_device
from variants.errors import UserError

FRESH_SEED = 1000
"""The seeds that the winner is judged on begin so far above the trials' own, which therefore is never one of them."""


def parser() -> Parser:
    """The command line, with its help."""
    p = Parser(
        prog="python -m harness.sweep",
        description="Search variants and settings at matched budgets with optuna; judge the winner on fresh seeds.",
        epilog="The same command goes on where a stopped one was. optuna-dashboard STORAGE shows the search as it "
        "runs. The report is OUT/SWEEP/report.html.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "tokens", nargs="*", metavar="slot=variant,variant", help="what a trial chooses from; slot.option=value too"
    )
    group = p.add_argument_group("search")
    group.add_argument(
        "--space",
        default="",
        metavar="NAME=LOW:HIGH[:log],...",
        help="ranges of the recipe (lr, warmup, weight_decay, ...) or of options (ffn.num_experts=4:16)",
    )
    group.add_argument("--trials", type=positive(int), default=20, metavar="N", help="in all; default %(default)s")
    group.add_argument(
        "--objective",
        default="bits_per_byte",
        metavar="NAME,...",
        help="bits_per_byte, cloze/acc, decode_tokens_per_second, num_params, ...; several give a Pareto front, the "
        "winner is the best in the first; default %(default)s",
    )
    group.add_argument("--sampler", default="tpe", help=f"{', '.join(SAMPLERS)}; default %(default)s")
    group.add_argument("--pruner", default="none", help=f"{', '.join(PRUNERS)}; default %(default)s")
    group.add_argument(
        "--storage",
        metavar="URL",
        help="sqlite:///FILE, journal:FILE or postgresql+psycopg://USER@HOST/DATABASE; default a SQLite file in the "
        "sweep's folder",
    )
    group.add_argument("--search-seed", type=int, default=0, metavar="N", help="of sampler and trials; default 0")
    add_model_flags(p)
    add_study_flags(p)
    add_place_flags(p)
    add_engine_flags(p)
    add_parallel_flags(p, shown=False)
    p.add_argument("--json", action="store_true", help="one JSON document on stdout, everything else on stderr")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see harness/cli/boundary.py)."""
    argv = list(sys.argv[1:] if argv is None else argv)
    return run_command(lambda: run_sweep(parser().parse_intermixed_args(argv), argv))


def run_sweep(args: argparse.Namespace, argv: Sequence[str]) -> int:
    """argv -> trials -> the winner on fresh seeds -> report."""
    started = time.monotonic()
    if args.parallel is not None or args.nproc is not None:
        raise UserError("the trials of a sweep are trained by one process each; leave out --parallel and --nproc")
    place = Place.of(args)
    choose_device(args.device)
    place.engine(place.out / LOG)  # a wrong engine too is refused before any text is read
    make_sweep(args, "", 257)  # so that a wrong name is refused before any text is read
    with leave_nothing_behind(place.out, place.store):
        data = prepare_data(args, place.store)
        sweep = make_sweep(args, data.sha256, data.vocab_size)
        searched = search(sweep, search_of(args), place.out, place.num_workers, say)
    record = sweep_record(sweep, search_of(args), searched, data, argv)
    folder = place.out / record.name
    write_sweep(folder, record)
    record, material = confirm(args, sweep, record, data, place)
    write_sweep(folder, record)
    write_sweep_report(folder, record, material)
    if material is not None:
        text = show.verdict_text(material, place.out / material.study.name, time.monotonic() - started)
        print(text, file=sys.stderr if args.json else sys.stdout)
    print(show.sweep_text(record, folder), file=sys.stderr if args.json else sys.stdout)
    if args.json:
        print(json.dumps(show.sweep_document(record, folder, material), indent=1))
    return 0


def search_of(args: argparse.Namespace) -> Search:
    """How to search."""
    return Search(args.trials, args.sampler, args.pruner, args.storage, engine_of(args))


def make_sweep(args: argparse.Namespace, data_sha256: str, vocab_size: int) -> Sweep:
    """The sweep of the flags, everything checked that can be before a trial runs.

    Raises:
        UserError: nothing to search, a wrong name, or pruning with several objectives.
    """
    baseline = baseline_of(args).replace(vocab_size=vocab_size)
    choices = parse_choices(args.tokens)
    ranges = parse_space(args.space, baseline, choices)
    objectives = parse_objectives(args.objective)
    if not ranges and all(len(choice.values) == 1 for choice in choices):
        raise UserError("a sweep needs something to choose: slot=variant,variant or --space; e.g. norm=layer,rms")
    if len(objectives) > 1 and args.pruner != "none":
        raise UserError(f"--pruner {args.pruner} needs one objective, got {len(objectives)}; use --pruner none")
    search_of(args).check()
    sweep = Sweep(
        baseline_name=args.baseline,
        baseline=baseline,
        recipe=recipe_of(args),
        match=args.match,
        budget=args.budget or DEFAULT_BUDGET,
        num_steps=args.steps,
        choices=tuple(choices),
        ranges=tuple(ranges),
        objectives=args.objective,
        seed=args.search_seed,
        data_sha256=data_sha256,
        store=str(args.store or args.out / "store"),
        device=args.device,
        checkpoint_seconds=args.checkpoint_seconds,
    )
    for choice in choices:
        for value in choice.values:
            if "." not in choice.name:
                planned(sweep, {choice.name: value})
    return sweep


def confirm(
    args: argparse.Namespace, sweep: Sweep, record: SweepRecord, data: TokenizedData, place: Place
) -> tuple[SweepRecord, Material | None]:
    """The winner against the baseline on seeds that no trial has seen; nothing is called better before that."""
    record, plan = confirmation_plan(sweep, record)
    if plan is None:
        return record, None
    seeds = seeds_of(args, sweep.seed + FRESH_SEED)
    command = ["python", "-m", "harness.sweep", *record.command]
    study = study_record(
        plan, data, command=command, seeds=seeds, margin=args.margin, device=args.device, looks=args.looks
    )
    say(show.plan_text(study))
    material = run_study(study, plan, data, choose_scores("none", None, None, args.data), place)
    return record.confirmed_by(study.name), material


if __name__ == "__main__":
    sys.exit(main())
