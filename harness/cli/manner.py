"""The flags --precision, --stack and --recompute-activations: in what numbers runs are trained, how many as one
program, and in how much memory."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from harness.cli.arguments import positive
from harness.cli.ladder_flags import is_ladder_asked
from harness.plan.study import Plan
from harness.train.device import choose_device
from harness.train.manner import Manner
from harness.train.precision import check_precision
from harness.train.stackable import choose_stack, stack_obstacle
from variants.errors import UserError


def add_manner_flags(parser: argparse.ArgumentParser) -> None:
    """How the arithmetic of the runs is done, the same for all arms: docs/performance.md."""
    group = parser.add_argument_group("arithmetic, the same for all arms")
    group.add_argument(
        "--precision",
        default="fp32",
        choices=("fp32", "bf16"),
        help="of the products in training; weights, moments and losses are fp32 with both; default %(default)s",
    )
    group.add_argument(
        "--stack",
        default="off",
        type=positive(int, "auto", "off"),
        metavar="N|auto|off",
        help="train N seeds of an arm as one program (torch.func.vmap), for a GPU that one small run leaves idle; "
        "default %(default)s",
    )
    group.add_argument(
        "--recompute-activations",
        action="store_true",
        help="keep what enters each layer alone and run the layer again in the backward: less memory, slower, the "
        "same bits",
    )


def check_manner(args: argparse.Namespace) -> None:
    """Raise `UserError` where the flags do not go with others, before any text is read."""
    arithmetic = [
        flag
        for flag, given in (
            (f"--precision {args.precision}", args.precision != "fp32"),
            (f"--stack {args.stack}", args.stack != "off"),
        )
        if given
    ]
    memory = ["--recompute-activations"] if args.recompute_activations else []
    excluded = [
        (arithmetic, "--compile on outside a stack (--stack 1)", args.compile == "on" and args.stack == "off"),
        (memory, "--compile on", args.compile == "on"),
        (memory, f"--stack {args.stack}", args.stack != "off"),
        (arithmetic + memory, f"--match {args.match}", args.match in ("time", "all")),
        (arithmetic + memory, "--tune", args.tune is not None),
        (arithmetic + memory, "--budgets or --ladder", is_ladder_asked(args)),
        (arithmetic, "--parallel", args.parallel is not None),
        (arithmetic, f"--engine {args.engine}", args.engine != "local" and args.stack != "off"),
    ]
    for asked, other, given in excluded:
        if asked and given:
            raise UserError(f"{asked[-1]} does not go with {other}; leave one of them out")
    device = choose_device(args.device)
    if args.stack != "off" and args.compile == "on" and device.type != "cuda":
        raise UserError(f"--stack {args.stack} --compile on needs a GPU, got --device {device.type}; use --compile off")
    check_precision(args.precision, device)


def manner_for(args: argparse.Namespace, plan: Plan) -> tuple[Manner, Sequence[str]]:
    """How the runs of a plan are trained, and what the user should know of it."""
    device = choose_device(args.device)
    slow = check_precision(args.precision, device)
    told = [f"bf16: {slow}"] if slow else []
    if args.stack == "off":
        return Manner(args.precision), told
    found = choose_stack(args.stack, device.type, [])
    if found.rows is not None:
        arms = ((arm.ledger.spec, plan.recipe_of(arm.name)) for arm in plan.arms)
        reasons = [stack_obstacle(spec, recipe, device, args.precision, found.rows) for spec, recipe in arms]
        named = [f"{arm.name}: {why}" for arm, why in zip(plan.arms, reasons, strict=True) if why is not None]
        found = choose_stack(args.stack, device.type, named)
    if found.rows is None and args.compile == "on":
        raise UserError(f"--compile on with --stack compiles stacks, and there are none: {found.reason}")
    word = "one by one" if found.rows is None else f"stacks of {found.rows}"
    return Manner(args.precision, found.rows), [*told, f"{word}: {found.reason}"]
