"""The flags that say which arms a study has and how its level is shared among them, and what of them goes together."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from harness.analyse.permutation import why_unreachable
from harness.cli.arguments import DEFAULT_SEEDS, positive, seeds_of
from harness.records.registration import ALPHA
from harness.spec.designs import KINDS, DesignChoice
from harness.spec.presets import preset
from harness.spec.sizes import resize
from variants.errors import UserError

FEWEST_JUDGED = 2
"""Seeds with a spread."""

STOPPING = ("joint", "add-one")
"""Designs whose arms may stop early or be screened out: each is compared with the baseline, and no table needs all."""


def add_design_flags(parser: argparse.ArgumentParser) -> None:
    """Arms and family of a study."""
    group = parser.add_argument_group("design (docs/statistics.md)")
    group.add_argument(
        "--design",
        metavar="NAME,...",
        help=f"{', '.join(KINDS)}: all tokens at once (the default); each alone; all, and all but each; one after "
        "another; every combination. Several may be asked for at once",
    )
    group.add_argument(
        "--fraction",
        type=_fraction,
        default=1,
        metavar="1/N",
        help="of the combinations of a factorial, e.g. 1/2: those that mix main effects with the fewest others; the "
        "plan shows with which",
    )
    group.add_argument(
        "--path",
        type=lambda text: text.split(","),
        default=[],
        metavar="PRESET,...",
        help="from preset to preset, one slot at a time, e.g. gpt2,llama,minimind2-moe; the first is the baseline",
    )
    family = group.add_mutually_exclusive_group()
    family.add_argument(
        "--family",
        default="holm",
        choices=("holm", "max-t", "dunnett"),
        help="how 5 %% are shared among the arms; dunnett gives no verdict where arms spread unequally; default "
        "%(default)s",
    )
    family.add_argument(
        "--explore",
        action="store_true",
        help="name discoveries at a false discovery rate of 10 %% (Benjamini-Hochberg) and give no verdict",
    )
    group.add_argument(
        "--screen",
        type=positive(int),
        default=0,
        metavar="N",
        help=f"the first N seeds only choose which arms go on; those are judged on the others, by default "
        f"{DEFAULT_SEEDS} more",
    )


def _fraction(text: str) -> int:
    """`1/4` is 4."""
    top, slash, bottom = text.partition("/")
    if top.strip() != "1" or not slash or not bottom.strip().isdigit():
        raise argparse.ArgumentTypeError(f"takes 1/2, 1/4 and so on, got {text!r}")
    return int(bottom)


def baseline_name(args: argparse.Namespace) -> str:
    """The preset that everything starts from: the first of a path.

    Raises:
        UserError: `--baseline` names another.
    """
    if not args.path:
        return args.baseline
    if args.baseline not in (args.path[0], "gpt2"):
        raise UserError(f"--path starts from {args.path[0]}, and --baseline says {args.baseline}; leave --baseline out")
    return args.path[0]


def design_of(args: argparse.Namespace, vocab_size: int) -> DesignChoice:
    """The design of the flags, presets brought to the study's size.

    Raises:
        UserError: a preset is unknown, or `--path` comes with another design.
    """
    kinds = tuple((args.design or ("path" if args.path else "joint")).split(","))
    presets, heads = [], args.heads
    for name in args.path:
        spec = resize(preset(name), args.size, heads=heads, seq_len=args.seq_len).replace(vocab_size=vocab_size)
        heads = heads or spec.n_heads  # those of the first
        presets.append((name, spec))
    return DesignChoice(kinds, args.fraction, tuple(presets))


def family_of(args: argparse.Namespace) -> str:
    """The family of `--family` or `--explore`."""
    return "explore" if args.explore else args.family


def study_seeds(args: argparse.Namespace) -> range:
    """The seeds of a study: those of `seeds_of`, and the screening ones before them where `--seeds` is not given.

    Raises:
        UserError: looks, screen, design and family do not go together, or seeds are too few for them.
    """
    kinds = (args.design or "joint").split(",") if not args.path else ["path"]
    if args.looks and (args.screen or family_of(args) != "holm"):
        raise UserError("--looks shares its level over looks by a rule of its own; leave out --screen and --family")
    for flag, value in (("--looks", args.looks), ("--screen", args.screen)):
        if value and not set(kinds) <= set(STOPPING):
            raise UserError(
                f"{flag} may drop arms, and --design {','.join(kinds)} needs them all; leave one of them out"
            )
    if args.family == "dunnett" and not {"path", "leave-one-out"}.isdisjoint(kinds):
        raise UserError(f"--family dunnett compares with one baseline, --design {','.join(kinds)} does not; use max-t")
    if args.match == "all" and (args.screen or args.explore or not set(kinds) <= set(STOPPING)):
        raise UserError(
            f"--match all judges each arm against the baseline under every regime; use --design {' or '.join(STOPPING)}"
            ", without --screen and --explore"
        )
    seeds = seeds_of(args)
    if args.screen:
        seeds = range(len(seeds) + (0 if args.seeds else args.screen))
        _check_screen(args, seeds)
    if args.family == "max-t" and (reason := why_unreachable(len(seeds) - args.screen, ALPHA)):
        raise UserError(f"--family max-t cannot reach its level: {reason}")
    return seeds


def _check_screen(args: argparse.Namespace, seeds: Sequence[int]) -> None:
    if args.explore:
        raise UserError("--screen ends with verdicts on fresh seeds, --explore gives none; leave one of them out")
    if args.screen < FEWEST_JUDGED or len(seeds) - args.screen < FEWEST_JUDGED:
        raise UserError(
            f"--screen needs at least {FEWEST_JUDGED} seeds to screen and as many fresh ones to judge, got "
            f"{args.screen} of --seeds {len(seeds)}; raise --seeds or leave it out"
        )
