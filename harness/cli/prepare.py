"""From flags to what a study is made of: the matched plan and the data. Shared by the commands that train."""

from __future__ import annotations

import argparse
import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from harness.cli.arguments import DEFAULT_BUDGET, recipe_of
from harness.cli.design_flags import design_of
from harness.data.corpus import load_corpus
from harness.data.dataset import TokenizedData, load_tokenizer, prepare
from harness.data.tokenizer import make_tokenizer
from harness.engine.choose_scores import ChosenScores
from harness.engine.job import data_folder
from harness.model.transformer import Transformer
from harness.plan.cover import cover
from harness.plan.study import Plan, plan_study
from harness.records.atomic import StoreError
from harness.score.lmeval.tasks import load_tasks
from harness.spec.presets import preset
from harness.spec.sizes import resize
from harness.spec.spec import Spec
from harness.train.compile import StepChoice, choose_step, find_compiler
from harness.train.compiled import cannot_compile, obstacle
from harness.train.device import choose_device
from harness.train.parallel import Parallel, unsplittable
from variants.errors import UserError

MOST_RECORDED = 8
"""Arms of which each step is recorded to see whether it can be compiled, half a second an arm. Of more, a few that use
every variant; where an arm fails nevertheless, by an option of its own, its runs fail and their records say so."""


def baseline_of(args: argparse.Namespace) -> Spec:
    """The baseline at the size of the flags, for a tokenizer of bytes."""
    return resize(preset(args.baseline), args.size, heads=args.heads, seq_len=args.seq_len)


def budget_of(args: argparse.Namespace) -> dict[str, Any]:
    """`budget` and `num_steps` as the planners take them: the one that was asked for, or the default budget."""
    return {"budget": args.budget or DEFAULT_BUDGET, "num_steps": args.steps}


def plan_for(args: argparse.Namespace, vocab_size: int) -> Plan:
    """The matched plan of the flags, for a tokenizer of `vocab_size`. What needs measured seconds is matched by FLOPs
    first, and `--match all` goes on without an arm that cannot be.
    """
    return plan_study(
        args.tokens,
        args.baseline,
        baseline_of(args).replace(vocab_size=vocab_size),
        recipe_of(args),
        "flops" if args.match in ("time", "all") else args.match,
        **budget_of(args),
        design=design_of(args, vocab_size),
        go_on=args.match == "all",
    )


def prepare_data(args: argparse.Namespace, store_folder: Path) -> TokenizedData:
    """The corpus, tokenized once into the store."""
    corpus = load_corpus(args.data)
    cache = data_folder(store_folder)
    data = prepare(corpus, make_tokenizer(args.tokenizer, corpus, cache), cache)
    data.require(args.seq_len)
    return data


def choose_step_for(args: argparse.Namespace, plan: Plan) -> StepChoice:
    """Whether the runs of a plan are compiled: the rule first, then whether this machine and the arms can.

    Raises:
        UserError: `--compile on`, and it cannot be.
    """
    if args.parallel is not None:
        return StepChoice("eager", "--parallel trains by eager steps")
    if args.recompute_activations:
        return StepChoice("eager", "--recompute-activations trains by eager steps")
    if args.stack != "off" and args.compile == "on":
        return StepChoice("compiled", "--compile on, a stack as one graph")
    if args.stack != "off" or args.precision != "fp32":
        return StepChoice("eager", "--stack and --precision bf16 train by eager steps without --compile on")
    device = choose_device(args.device)

    def choice(obstacles: Sequence[str]) -> StepChoice:
        return choose_step(
            args.compile,
            num_steps=[arm.num_steps for arm in plan.arms],
            device_type=device.type,
            compiler=find_compiler(),
            obstacles=obstacles,
        )

    chosen = choice([])
    if chosen.step == "compiled":
        arms = plan.arms if len(plan.arms) <= MOST_RECORDED else cover(plan.arms)
        found = (obstacle(arm.ledger.spec, plan.recipe_of(arm.name)) for arm in arms)
        chosen = choice([why for why in (cannot_compile(device), *found) if why is not None])
    if args.compile == "on" and chosen.step == "eager":
        raise UserError(f"--compile on cannot be had: {chosen.reason}; use --compile auto")
    return chosen


def check_parallel(parallel: Parallel | None, plan: Plan) -> None:
    """Raise `UserError` where an arm cannot be split over processes so."""
    if parallel is None:
        return
    for arm in plan.arms:
        with torch.device("meta"):
            why = unsplittable(Transformer(arm.ledger.spec, seed=None), parallel)
        if why is not None:
            raise UserError(why)


@contextlib.contextmanager
def leave_nothing_behind(*folders: Path) -> Iterator[None]:
    """Make the folders; on bad input remove those that were not there before, unless another study uses them by now.

    Raises:
        UserError: a folder's name is a file's, or passes through one.
        StoreError: the disk refuses to make it or to write into it.
    """
    folders = tuple(folder.resolve() for folder in folders)  # new/../old must not end with `old` removed
    made = [folder for folder in folders if not folder.exists()]
    try:
        for folder in folders:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / ".writable").touch()
                (folder / ".writable").unlink(missing_ok=True)  # another study may try the same
            except OSError as error:
                sentence = f"{folder} cannot be written ({error.strerror}); choose another --out or --store"
                if isinstance(error, FileExistsError | NotADirectoryError):
                    raise UserError(sentence) from error
                raise StoreError(sentence) from error
        yield
    except UserError:
        for folder in made:
            if not any(folder.rglob("study.json")) and not any(folder.glob("**/runs/*")):
                shutil.rmtree(folder, ignore_errors=True)
        raise


def check_tasks(scores: ChosenScores, data: TokenizedData, cache: Path) -> None:
    """Load the tasks once before anything is trained, so that a wrong name is refused now and not after hours."""
    tokenizer = load_tokenizer(cache, data.sha256)
    names = [dict(q.options)["task"] for q in scores.requests if q.name == "lm-eval"]
    from harness.score.lmeval.quiet import quietly  # lm-eval takes seconds to import

    with quietly():  # or the hub's library tells of every attempt to reach it
        load_tasks(names, data, tokenizer)
