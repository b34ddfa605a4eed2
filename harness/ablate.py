"""Should I use this variant? Trains the baseline and the variant at matched budgets on paired seeds and says.

python -m harness.ablate norm=rms
python -m harness.ablate norm=rms activation=swiglu position=rope --data tinyshakespeare
python -m harness.ablate activation=gelu,relu,swiglu --seeds 8
python -m harness.ablate norm=rms activation=swiglu position=rope --design factorial
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.cli import show
from harness.cli.arguments import (
    TOKENS_HELP,
    Parser,
    add_engine_flags,
    add_forecast_flags,
    add_model_flags,
    add_parallel_flags,
    add_place_flags,
    add_score_flags,
    add_study_flags,
)
from harness.cli.boundary import run_command
from harness.cli.design_flags import add_design_flags, baseline_name, family_of, study_seeds
from harness.cli.ladder import climb_ladder
from harness.cli.ladder_flags import add_ladder_flags, is_ladder_asked
from harness.cli.manner import add_manner_flags, check_manner, manner_for
from harness.cli.prepare import (
    check_parallel,
    check_tasks,
    choose_step_for,
    leave_nothing_behind,
    plan_for,
    prepare_data,
)
from harness.cli.regimes import Regimes, declare_regimes, planned_by_time, run_regimes
from harness.cli.run import LOG, Place, run_study
from harness.cli.tune import Tuning, add_tuning_flags, declared, run_tuned, tuning_of
from harness.data.dataset import TokenizedData
from harness.engine.choose_scores import ChosenScores, choose_scores
from harness.engine.job import data_folder
from harness.engine.study import study_record
from harness.plan.match import MATCHES
from harness.plan.study import Plan
from harness.records.calibration import read_calibration
from harness.records.record import StudyRecord
from harness.reporting.section import Material
from harness.train.compile import StepChoice
from harness.train.device import choose_device


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
    add_design_flags(p)
    add_tuning_flags(p)
    add_model_flags(p)
    add_study_flags(p, (*MATCHES, "time", "all"))
    add_score_flags(p)
    add_ladder_flags(p)
    add_forecast_flags(p)
    add_place_flags(p)
    add_manner_flags(p)
    add_engine_flags(p)
    add_parallel_flags(p)
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
    check_manner(args)
    if is_ladder_asked(args):
        return climb_ladder(args, argv)
    started = time.monotonic()
    decided = decide(args, argv)
    study, folder = decided.study, decided.place.out / decided.study.name
    said = "\n".join([show.plan_text(study), f"{decided.step.step} steps: {decided.step.reason}", *decided.told])
    print(said, file=sys.stderr)
    place = decided.place
    known = read_calibration(place.store, study)
    print(show.forecast_text(known, study, place.num_workers, args.effect, args.power), file=sys.stderr)
    if args.dry_run:
        material = Material(study, [], [])
    else:
        material = carry_out(decided)
        text = show.verdict_text(material, folder, time.monotonic() - started)
        print(text, file=sys.stderr if args.json else sys.stdout)
    if args.json:
        print(json.dumps(show.document(material, folder), indent=1))
    return 0


@dataclass(frozen=True)
class Decided:
    """Everything that is settled before the first run of a study. `regimes` and `tuning` where they were asked for;
    `told` are sentences on the manner of training.
    """

    study: StudyRecord
    plan: Plan
    data: TokenizedData
    scores: ChosenScores
    place: Place
    step: StepChoice
    told: Sequence[str]
    regimes: Regimes | None
    tuning: Tuning | None


def decide(args: argparse.Namespace, argv: Sequence[str]) -> Decided:
    """What the flags ask for, checked and registered; bad input leaves nothing behind.

    Raises:
        UserError: a flag is wrong, does not go with another, or an arm cannot be matched.
    """
    place = Place.of(args)
    choose_device(args.device)
    args.baseline = baseline_name(args)
    seeds = study_seeds(args)
    tuning = tuning_of(args, seeds)
    place.engine(place.out / LOG)  # a wrong engine is refused before any text is read
    first = plan_for(args, vocab_size=257)  # so that a wrong token is refused before any text is read
    check_parallel(place.parallel, first)
    scores = choose_scores(args.score, args.tasks, args.limit, args.data)
    with leave_nothing_behind(place.out, place.store):
        data = prepare_data(args, place.store)
        plan = plan_for(args, data.vocab_size)
        if args.tasks is not None:
            check_tasks(scores, data, data_folder(place.store))
        step = choose_step_for(args, plan)
        manner, told = manner_for(args, plan)
        place = dataclasses.replace(
            place, step=step.step, manner=manner, recompute_activations=args.recompute_activations
        )
        timing: dict[str, Any] = {}
        if args.match == "time":
            plan, timing = planned_by_time(plan, data, place)
        study = study_record(
            plan,
            data,
            command=argv,
            seeds=seeds,
            margin=args.margin,
            device=args.device,
            scores=scores.names,
            looks=args.looks,
            step=step.step,
            parallel=place.parallel,
            manner=manner,
            family=family_of(args),
            screen=args.screen,
            also=[*(["all regimes"] if args.match == "all" else []), *(tuning.decided if tuning else [])],
        )
        study, regimes = dataclasses.replace(study, timing=timing), None
        if args.match == "all":
            study, regimes = declare_regimes(study, plan, data, scores, place)
        if tuning is not None:
            study = declared(study, tuning)
    return Decided(study, plan, data, scores, place, step, told, regimes, tuning)


def carry_out(d: Decided) -> Material:
    """Train and score what the store does not have: the study, its other regimes, its tuned arms."""
    material = run_study(d.study, d.plan, d.data, d.scores, d.place)
    if d.regimes is not None:
        material = run_regimes(material, d.regimes, d.data, d.scores, d.place)
    if d.tuning is not None:
        material = run_tuned(material, d.plan, d.tuning, d.data, d.scores, d.place)
    return material


if __name__ == "__main__":
    sys.exit(main())
