"""The flags of a ladder: the same question at several budgets or sizes, and what does not go together with it."""

from __future__ import annotations

import argparse
import itertools

from harness.cli.arguments import positive
from harness.cli.prepare import baseline_of, plan_for
from harness.plan.ladder import TOKENS_PER_PARAMETER, PlannedRung, check_rungs, steps_for, with_trunk
from harness.spec.sizes import parse_size
from variants.errors import UserError

FEWEST = 2
"""Rungs with something between them."""


def add_ladder_flags(parser: argparse.ArgumentParser) -> None:
    """Rungs of a ladder."""
    group = parser.add_argument_group("ladder (docs/scaling.md)")
    group.add_argument(
        "--budgets",
        type=_budgets,
        default=(),
        metavar="FLOPS,...",
        help="the whole study at each of these training budgets, e.g. 5e11,1e12,2e12,4e12: what a variant is worth in "
        "compute, and whether that holds; with --ladder one a size",
    )
    group.add_argument(
        "--ladder",
        type=_sizes,
        default=(),
        metavar="SIZE,...",
        help="the whole study at each of these sizes, e.g. nano,micro,mini",
    )
    group.add_argument(
        "--tokens-per-parameter",
        type=positive(float),
        metavar="R",
        help="budget of a rung of --ladder: so many tokens for each active parameter of the baseline; default "
        f"{TOKENS_PER_PARAMETER:g}",
    )


def is_ladder_asked(args: argparse.Namespace) -> bool:
    """Whether the flags ask for a ladder.

    Raises:
        UserError: a flag that says something to a ladder alone comes without one.
    """
    if args.tokens_per_parameter and not args.ladder:
        raise UserError("--tokens-per-parameter sets the budgets of --ladder SIZE,..., which is not given")
    return bool(args.budgets or args.ladder)


def check_ladder_flags(args: argparse.Namespace) -> None:
    """Raises `UserError` for flags that cannot be kept together with a ladder."""
    asked = "--ladder" if args.ladder else "--budgets"
    if args.budget or args.steps:
        raise UserError(f"{asked} says how long each rung is trained; leave out --budget and --steps")
    if args.ladder and args.size:
        raise UserError("--ladder says the size of each rung; leave out --size")
    if args.ladder and args.budgets and len(args.ladder) != len(args.budgets):
        raise UserError(
            f"--budgets with --ladder gives one budget a size, got {len(args.budgets)} for {len(args.ladder)} sizes"
        )
    if args.budgets and args.tokens_per_parameter:
        raise UserError(
            "--tokens-per-parameter and --budgets both say how long a rung is trained; leave one of them out"
        )
    for size in args.ladder:
        parse_size(size)
    if args.looks or args.screen:
        raise UserError(f"{asked} needs every run of every rung; leave out --looks and --screen")
    if args.tune or args.tune_seeds or args.tune_share:
        raise UserError(
            f"{asked} trains every rung at one learning rate; tune a rung as a study of its own, without it"
        )
    if args.match in ("time", "all"):
        raise UserError(f"{asked} climbs by one counted match, and --match says {args.match}; use --match flops")


def rungs_for(args: argparse.Namespace, vocab_size: int) -> list[PlannedRung]:
    """The matched plan of every rung, from the smallest budget up.

    Raises:
        UserError: a rung cannot be planned, or they do not grow.
    """
    rungs = [PlannedRung(label, plan_for(one, vocab_size)) for label, one in rung_arguments(args, vocab_size)]
    check_rungs(rungs)
    return with_trunk(rungs) if args.schedule == "wsd" and not args.ladder else rungs


def rung_arguments(args: argparse.Namespace, vocab_size: int) -> list[tuple[str, argparse.Namespace]]:
    """The flags of each rung as a study of its own has them."""
    if not args.ladder:
        return [(f"{budget:g}", _with(args, budget=budget)) for budget in args.budgets]
    if args.budgets:
        sized = zip(args.ladder, args.budgets, strict=True)
        return [(size, _with(args, size=size, budget=budget)) for size, budget in sized]
    ratio = args.tokens_per_parameter or TOKENS_PER_PARAMETER
    made = []
    for size in args.ladder:
        baseline = baseline_of(_with(args, size=size)).replace(vocab_size=vocab_size)
        made.append(
            (size, _with(args, size=size, steps=steps_for(args.baseline, baseline, args.tokens_per_step, ratio)))
        )
    return made


def rule_of(args: argparse.Namespace) -> str:
    """How the budgets were chosen, in words."""
    if args.budgets:
        return "budgets as given"
    ratio = args.tokens_per_parameter or TOKENS_PER_PARAMETER
    return f"{ratio:g} tokens for each active parameter of the baseline, embeddings included"


def _with(args: argparse.Namespace, **changes: object) -> argparse.Namespace:
    return argparse.Namespace(**{**vars(args), "budgets": (), "ladder": (), **changes})


def _budgets(text: str) -> tuple[float, ...]:
    """`5e11,1e12`: growing."""
    try:
        budgets = tuple(float(part) for part in text.split(","))
    except ValueError:
        budgets = (0.0,)
    grow = all(a < b for a, b in itertools.pairwise(budgets))
    if len(budgets) < FEWEST or not grow or not 0 < budgets[0] <= budgets[-1] < float("inf"):
        raise argparse.ArgumentTypeError(f"takes growing budgets, at least two, e.g. 5e11,1e12,2e12,4e12, got {text!r}")
    return budgets


def _sizes(text: str) -> tuple[str, ...]:
    """`nano,micro`: different."""
    sizes = tuple(text.split(","))
    if len(sizes) < FEWEST or len(set(sizes)) < len(sizes):
        raise argparse.ArgumentTypeError(f"takes different sizes, at least two, e.g. nano,micro,mini, got {text!r}")
    return sizes
