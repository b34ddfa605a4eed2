"""Should I use this variant? Trains the baseline and the variant at matched budgets on paired seeds and says.

python -m harness.ablate norm=rms
python -m harness.ablate norm=rms activation=swiglu position=rope --data tinyshakespeare
python -m harness.ablate activation=gelu,relu,swiglu --seeds 8
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.analyse.comparison import compare
from harness.cli import show
from harness.cli.arguments import (
    DEFAULT_BUDGET,
    TOKENS_HELP,
    Parser,
    add_model_flags,
    add_place_flags,
    add_study_flags,
    recipe_of,
)
from harness.cli.boundary import run_command
from harness.cli.display import StudyDisplay
from harness.data.corpus import load_corpus
from harness.data.dataset import TokenizedData, prepare
from harness.data.tokenizer import make_tokenizer
from harness.engine.job import data_folder
from harness.engine.local import LocalEngine
from harness.engine.study import Task, collect, finished_keys, study_record, tasks_of
from harness.plan.study import Plan, plan_study
from harness.records.record import StudyRecord
from harness.records.store import RunStore
from harness.records.study import read_measurements, write_study
from harness.reporting.section import Material
from harness.reporting.write import write_report
from harness.spec.presets import preset
from harness.spec.sizes import resize
from harness.train.device import choose_device
from variants.errors import UserError


def parser() -> Parser:
    """The command line, with its help."""
    p = Parser(
        prog="python -m harness.ablate",
        description="Train a baseline and variants of it at matched budgets on paired seeds; end with a verdict.",
        epilog="Runs are kept in the store: what was trained once, by any study, is not trained again, and a study "
        "that was stopped continues where it was. The report is OUT/STUDY/report.html.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("tokens", nargs="*", metavar="slot=variant", help=TOKENS_HELP)
    add_model_flags(p)
    add_study_flags(p)
    add_place_flags(p)
    p.add_argument("--list", action="store_true", help="show slots, variants and what they are, then leave")
    p.add_argument("--dry-run", action="store_true", help="show the matched plan and train nothing")
    p.add_argument("--json", action="store_true", help="one JSON document on stdout, everything else on stderr")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see harness/cli/boundary.py)."""
    argv = list(sys.argv[1:] if argv is None else argv)
    return run_command(lambda: ablate(parser().parse_intermixed_args(argv), argv))


def ablate(args: argparse.Namespace, argv: Sequence[str]) -> int:
    """argv -> plan -> runs -> comparisons -> report."""
    if args.list:
        print(show.variants_text())
        return 0
    started = time.monotonic()
    store_folder = args.store or args.out / "store"
    choose_device(args.device)
    plan_for(args, vocab_size=257)  # so that a wrong token is refused before any text is read
    with leave_nothing_behind(args.out, store_folder):
        data = prepare_data(args, store_folder)
        plan = plan_for(args, data.vocab_size)
    seeds = range(args.seeds)
    study = study_record(plan, data, command=argv, seeds=seeds, margin=args.margin, device=args.device)
    print(show.plan_text(study), file=sys.stderr)
    if args.dry_run:
        if args.json:
            print(json.dumps(show.document(study, args.out / study.name, [], []), indent=1))
        return 0
    tasks = tasks_of(plan, data, seeds, store_folder, args.device, args.checkpoint_seconds)
    return run_study(args, study, tasks, RunStore(store_folder), started)


def plan_for(args: argparse.Namespace, vocab_size: int) -> Plan:
    """The matched plan of the flags, for a tokenizer of `vocab_size`."""
    baseline = resize(preset(args.baseline), args.size, heads=args.heads, seq_len=args.seq_len)
    return plan_study(
        args.tokens,
        args.baseline,
        baseline.replace(vocab_size=vocab_size),
        recipe_of(args),
        args.match,
        budget=args.budget or DEFAULT_BUDGET,
        num_steps=args.steps,
    )


def prepare_data(args: argparse.Namespace, store_folder: Path) -> TokenizedData:
    """The corpus, tokenized once into the store."""
    corpus = load_corpus(args.data)
    cache = data_folder(store_folder)
    data = prepare(corpus, make_tokenizer(args.tokenizer, corpus, cache), cache)
    data.require(args.seq_len)
    return data


@contextlib.contextmanager
def leave_nothing_behind(*folders: Path) -> Iterator[None]:
    """Make the folders; on bad input remove those that were not there before."""
    made = [folder for folder in folders if not folder.exists()]
    try:
        for folder in folders:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / ".writable").touch()
                (folder / ".writable").unlink()
            except OSError as error:
                raise UserError(
                    f"{folder} cannot be written ({error.strerror}); choose another --out or --store"
                ) from error
        yield
    except UserError:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def run_study(
    args: argparse.Namespace, study: StudyRecord, tasks: Sequence[Task], store: RunStore, started: float
) -> int:
    """Train what the store does not have, then compare and report."""
    folder = args.out / study.name
    folder.mkdir(parents=True, exist_ok=True)
    reused = finished_keys(tasks, store)
    missing = [task for task in tasks if task.job.key not in reused]
    write_study(folder, study, collect(tasks, store, reused))
    if missing:
        names, steps = [t.name for t in missing], [t.job.num_steps for t in missing]
        with StudyDisplay(names, steps) as display:
            LocalEngine(args.workers, folder / "workers.log").run([t.job for t in missing], display.show)
    runs = collect(tasks, store, reused)
    comparisons = compare(study, runs)
    write_study(folder, study, runs)
    write_report(folder, Material(study, runs, comparisons, read_measurements(folder)))
    text = show.verdict_text(study, runs, comparisons, folder, time.monotonic() - started)
    print(text, file=sys.stderr if args.json else sys.stdout)
    if args.json:
        print(json.dumps(show.document(study, folder, runs, comparisons), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
