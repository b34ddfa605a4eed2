"""The flags that say how arms are compared, shared by the commands. One home for their defaults and their help."""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.analyse.text import listing
from harness.engine.choose_scores import DEFAULT_SCORES, MEASUREMENTS
from harness.engine.engines import ENGINES
from harness.engine.scorers import SCORERS
from harness.plan.match import MATCHES
from harness.spec.presets import PRESETS
from harness.spec.recipe import Recipe
from harness.spec.sizes import SIZES
from harness.spec.spec import Spec
from harness.train.device import choose_device
from harness.train.parallel import Parallel, check_devices
from harness.train.trainer import CHECKPOINT_SECONDS
from variants.errors import UserError

DEFAULT_BUDGET = 1e12
"""Training FLOPs a run: about 25 seconds on one core with AVX-512. docs/decisions/0002-default-recipe.md."""

DEFAULT_SEEDS = 8
"""Paired seeds; the half-widths they give are measured in docs/decisions/0002-default-recipe.md."""

DEFAULT_MARGIN = 0.01
"""Nats per byte under which a difference does not matter (definitions 3.5: about 1 % of perplexity)."""

MATCH_HELP = {
    "flops": "training FLOPs of a run",
    "params": "parameters and tokens",
    "active-params": "those that a token uses, and tokens",
    "total-params": "all parameters, and tokens, the same as params",
    "tokens": "tokens and d_ff",
    "time": "seconds of training, as measured here first",
    "all": "each of these in turn, in one table; the verdict is that of flops",
}

TOKENS_HELP = (
    "what is compared: slot=variant, e.g. norm=rms; several tokens make one joint arm, commas several arms "
    "(crossed), slot.option=value sets a variant's option, model.bias=false a model option; --list shows them all"
)


def positive(kind: type[int] | type[float], *words: str) -> Callable[[str], int | float | str]:
    """An argparse type: a positive, finite int or float, or one of `words`, with a sentence when it is not."""

    def parse(text: str) -> int | float | str:
        if text in words:
            return text
        try:
            number = kind(text)
        except ValueError:
            number = 0
        if not 0 < number < float("inf"):
            what = "a whole number of at least 1" if kind is int else "a positive number"
            raise argparse.ArgumentTypeError(f"takes {listing([what, *words], 'or')}, got {text!r}")
        return number

    return parse


def _looks(text: str) -> tuple[int, ...]:
    """`4,8,12`: growing numbers of pairs from 2 on."""
    try:
        looks = tuple(int(part) for part in text.split(","))
    except ValueError:
        looks = ()
    if len(looks) < 2 or looks[0] < 2 or any(b <= a for a, b in itertools.pairwise(looks)):
        raise argparse.ArgumentTypeError(f"takes growing numbers of pairs from 2 on, e.g. 4,8,12, got {text!r}")
    return looks


def seeds_of(args: argparse.Namespace, first: int = 0) -> range:
    """The seeds of `--seeds`, or as many as the last of `--looks`.

    Raises:
        UserError: both were given, and they differ.
    """
    if args.looks and args.seeds not in (None, args.looks[-1]):
        raise UserError(
            f"--looks {','.join(map(str, args.looks))} ends with {args.looks[-1]} seeds, and --seeds asks "
            f"for {args.seeds}; leave --seeds out"
        )
    num_seeds = args.looks[-1] if args.looks else args.seeds or DEFAULT_SEEDS
    return range(first, first + num_seeds)


class Parser(argparse.ArgumentParser):
    """argparse whose complaints are `UserError`, so that all bad input leaves by one door."""

    def error(self, message: str):
        raise UserError(f"{message}; see {self.prog} --help")


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    """What every arm shares: the baseline and its size."""
    group = parser.add_argument_group("the baseline")
    group.add_argument("--baseline", default="gpt2", metavar="NAME", help=f"{', '.join(PRESETS)}; default gpt2")
    group.add_argument(
        "--size",
        metavar="NAME|LAYERSxD_MODEL",
        help=f"{', '.join(f'{n} = {a}x{b}' for n, (a, b) in SIZES.items())}, or e.g. 4x128; default nano",
    )
    group.add_argument("--heads", type=positive(int), metavar="N", help="attention heads; default by width")
    group.add_argument(
        "--seq-len",
        type=positive(int),
        default=Spec().seq_len,
        metavar="TOKENS",
        help=f"context length in training and scoring; default {Spec().seq_len}",
    )


def add_study_flags(parser: argparse.ArgumentParser, matches: Sequence[str] = MATCHES) -> None:
    """Data, budget and statistics of a study.

    Args:
        matches: what `--match` takes.
    """
    _add_data_flags(parser)
    _add_budget_flags(parser, matches)
    _add_verdict_flags(parser)


def _add_data_flags(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data",
        default="stdlib",
        metavar="NAME|PATH",
        help="stdlib (the text every Python carries), microworld (made by a grammar, its entropy known), "
        "tinyshakespeare, wikitext2 (found under HARNESS_DATA), a file or folder of UTF-8 text, or hf:owner/name; "
        "default %(default)s",
    )
    data.add_argument("--tokenizer", default="bytes", metavar="bytes|bpe:VOCAB", help="default %(default)s")


def _add_budget_flags(parser: argparse.ArgumentParser, matches: Sequence[str]) -> None:
    budget = parser.add_argument_group("budget")
    length = budget.add_mutually_exclusive_group()
    length.add_argument(
        "--budget",
        type=positive(float),
        metavar="FLOPS",
        help=f"training FLOPs of each run, e.g. 1e12; default {DEFAULT_BUDGET:.0e}",
    )
    length.add_argument("--steps", type=positive(int), metavar="N", help="steps of the baseline, instead of a budget")
    budget.add_argument(
        "--match",
        default="flops",
        choices=tuple(matches),
        help=f"what is equal in all arms: {'; '.join(f'{name}: {MATCH_HELP[name]}' for name in matches)}; "
        "default %(default)s",
    )
    recipe = Recipe()
    budget.add_argument(
        "--lr",
        type=positive(float),
        default=recipe.lr,
        help="peak learning rate, the same for all arms; default %(default)s",
    )
    budget.add_argument(
        "--tokens-per-step",
        type=positive(int),
        default=recipe.tokens_per_step,
        metavar="N",
        help="tokens in a training step, a multiple of --seq-len; default %(default)s",
    )
    budget.add_argument(
        "--schedule",
        default=recipe.schedule,
        choices=("cosine", "wsd"),
        help="how the learning rate comes down: along a cosine, or stable and then in the last fifth (wsd), which lets "
        "the runs of --budgets share a trunk. default %(default)s",
    )


def _add_verdict_flags(parser: argparse.ArgumentParser) -> None:
    verdict = parser.add_argument_group("verdict")
    verdict.add_argument(
        "--seeds",
        type=positive(int),
        metavar="N",
        help=f"paired seeds 0..N-1 of every arm; one seed gives numbers but no verdict; default {DEFAULT_SEEDS}",
    )
    verdict.add_argument(
        "--looks",
        type=_looks,
        default=(),
        metavar="N,N,...",
        help="look after so many pairs, e.g. 4,8,12, and stop an arm that is decided; the last is the number of seeds",
    )
    verdict.add_argument(
        "--margin",
        type=positive(float),
        default=DEFAULT_MARGIN,
        metavar="NATS",
        help="nats per byte under which two arms count as equivalent; default %(default)s",
    )


def add_forecast_flags(parser: argparse.ArgumentParser) -> None:
    """What a calibrated study says before it trains."""
    group = parser.add_argument_group("forecast, where harness.calibrate has measured the noise at this scale")
    group.add_argument(
        "--effect", type=positive(float), metavar="NATS", help="say how many seeds a difference of this size needs"
    )
    group.add_argument(
        "--power", type=_share, default=0.8, metavar="P", help="with which it should be found; default %(default)s"
    )


def _share(text: str) -> float:
    """A number between 0 and 1, both left out."""
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"takes a number between 0 and 1, got {text!r}")
    return share


def add_score_flags(parser: argparse.ArgumentParser) -> None:
    """What the runs are scored on beside their validation loss."""
    group = parser.add_argument_group("scores")
    about = {**{name: scorer.about for name, scorer in SCORERS.items()}, **MEASUREMENTS}
    group.add_argument(
        "--score",
        default="default",
        metavar="NAME,...",
        help=f"default ({', '.join(DEFAULT_SCORES)}), all, none, or of "
        f"{'; '.join(f'{name}: {text}' for name, text in about.items())}",
    )
    group.add_argument(
        "--tasks",
        metavar="NAME,...",
        help="lm-eval's tasks: cloze (made from the corpus, the default), blimp, lambada_openai, piqa, arc_easy, "
        "wikitext (found under HARNESS_DATA), microworld, any other lm-eval task by name, or a task file",
    )
    group.add_argument("--limit", type=positive(int), metavar="N", help="the first N items of each task; default all")


def add_place_flags(parser: argparse.ArgumentParser) -> None:
    """Where a study runs and what it writes."""
    group = parser.add_argument_group("where")
    group.add_argument("--out", type=Path, default=Path("reports"), metavar="DIR", help="default %(default)s")
    group.add_argument(
        "--store", type=Path, metavar="DIR", help="records of all runs, shared by studies; default OUT/store"
    )
    group.add_argument(
        "--workers",
        type=positive(int),
        metavar="N",
        help=f"runs at a time, one thread each; default one a core, here {os.cpu_count() or 1}, and on a cluster as "
        "many as there is room for",
    )
    group.add_argument(
        "--checkpoint-seconds",
        type=positive(float),
        default=CHECKPOINT_SECONDS,
        metavar="S",
        help="at most this much training is lost by a kill; default %(default)s",
    )
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps; default %(default)s")
    group.add_argument(
        "--compile",
        default="auto",
        choices=("auto", "on", "off"),
        help="torch.compile of the training step, the same for all arms; auto: where runs are long enough to gain; "
        "default %(default)s",
    )


def add_engine_flags(parser: argparse.ArgumentParser) -> None:
    """Where runs execute, if not on this machine: docs/engines.md."""
    group = parser.add_argument_group("engine")
    told = "; ".join(f"{name}: {what}" for name, what in ENGINES.items())
    group.add_argument("--engine", default="local", metavar="NAME", help=f"{told}; default %(default)s")
    group.add_argument("--address", metavar="auto|HOST[:PORT]", help="of the Ray cluster's head; default auto")
    group.add_argument(
        "--runs-per-gpu",
        type=positive(int, "auto"),
        default=1,
        metavar="N|auto",
        help="runs, or stacks of them, that share a GPU; auto: as many as its free memory has room for by a measured "
        "step; default %(default)s",
    )
    group.add_argument("--slurm-partition", metavar="NAME", help="default the cluster's own")
    group.add_argument("--slurm-minutes", type=positive(int), metavar="N", help="time limit of a job")
    group.add_argument(
        "--slurm-option", action="append", default=[], metavar="NAME=VALUE", help="of sbatch; may be repeated"
    )


def add_parallel_flags(parser: argparse.ArgumentParser, *, shown: bool = True) -> None:
    """A run that one device cannot hold: docs/engines.md. A command that has no use for them refuses them itself."""
    group = parser.add_argument_group("a run over several devices") if shown else parser
    for flag, choices, metavar, about in (
        ("--parallel", ("ddp", "fsdp"), None, "each run over several processes: ddp copies the model, fsdp splits it"),
        ("--nproc", None, "N", "processes of a run, on this machine: one a GPU, or one a core"),
    ):
        kind = positive(int) if choices is None else str
        text = about if shown else argparse.SUPPRESS
        group.add_argument(flag, type=kind, choices=choices, metavar=metavar, help=text)


def parallel_of(args: argparse.Namespace) -> Parallel | None:
    """How the flags split each run over processes, None when they do not.

    Raises:
        UserError: one flag without the other, or the batch, the device, the engine or the step cannot be split so.
    """
    if args.parallel is None:
        if args.nproc is not None:
            raise UserError(f"--nproc {args.nproc} says how far --parallel splits a run; add --parallel ddp or fsdp")
        return None
    if args.nproc is None:
        raise UserError(f"--parallel {args.parallel} needs a number of processes; add e.g. --nproc 2")
    if args.engine != "local":
        raise UserError(f"--parallel runs on this machine alone, got --engine {args.engine}; leave one of them out")
    if args.match in ("time", "all"):
        raise UserError(
            f"--match {args.match} measures steps of one process, and --parallel trains by {args.nproc}; use flops"
        )
    if args.compile == "on":
        raise UserError("--parallel needs eager steps, got --compile on; use --compile off")
    unit = args.nproc * args.seq_len
    if args.tokens_per_step % unit:
        raise UserError(
            f"--tokens-per-step must be a multiple of --nproc {args.nproc} x --seq-len {args.seq_len} = {unit}, "
            f"got {args.tokens_per_step}; try {max(1, round(args.tokens_per_step / unit)) * unit}"
        )
    check_devices(choose_device(args.device).type, args.nproc)
    return Parallel(args.parallel, args.nproc)


def recipe_of(args: argparse.Namespace) -> Recipe:
    """The recipe the flags ask for.

    Raises:
        UserError: tokens per step are no multiple of the context length.
    """
    if args.tokens_per_step % args.seq_len:
        raise UserError(
            f"--tokens-per-step must be a multiple of --seq-len {args.seq_len}, got {args.tokens_per_step}; "
            f"try {max(1, round(args.tokens_per_step / args.seq_len)) * args.seq_len}"
        )
    return Recipe(lr=args.lr, tokens_per_step=args.tokens_per_step, schedule=args.schedule)
