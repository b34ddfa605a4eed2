"""How noisy is the baseline at this scale, and does the procedure err as rarely as it says?

python -m harness.calibrate
python -m harness.calibrate --size micro --data tinyshakespeare --budget 4e12 --seeds 12

Later studies at the same scale then say, before they train, what they can see.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import sys
from collections.abc import Sequence

from harness.analyse.aa_studies import pipeline_errors
from harness.analyse.calibration import false_positives, noise, planted_found
from harness.analyse.calibration_text import calibration_text
from harness.analyse.comparison import compare
from harness.analyse.scores import PRIMARY, Score, absences, scores_of
from harness.cli.arguments import (
    Parser,
    add_engine_flags,
    add_model_flags,
    add_parallel_flags,
    add_place_flags,
    add_score_flags,
    add_study_flags,
    recipe_of,
    seeds_of,
)
from harness.cli.boundary import run_command
from harness.cli.prepare import baseline_of, budget_of, check_parallel, check_tasks, leave_nothing_behind, prepare_data
from harness.cli.run import LOG, Place, run_missing
from harness.engine.calibrate import PLANTED, crossed_values, planted_arm, rerun_values, source_tasks
from harness.engine.choose_scores import MEASUREMENTS, ChosenScores, choose_scores
from harness.engine.job import data_folder
from harness.engine.study import collect, study_record, tasks_of
from harness.plan.match import plan_baseline
from harness.plan.study import Plan
from harness.records.calibration import CalibrationRecord, Noise, scale_key, scale_of, write_calibration
from harness.records.record import StudyRecord, StudyRun, to_json
from harness.records.store import RunStore
from harness.spec.tokens import Arm
from harness.train.device import choose_device
from variants.errors import UserError

FEWEST_SEEDS = 4


def parser() -> Parser:
    """The command line, with its help."""
    p = Parser(prog="python -m harness.calibrate", description="Measure the noise of the baseline at one scale.")
    add_model_flags(p)
    add_study_flags(p)
    add_score_flags(p)
    add_place_flags(p)
    add_engine_flags(p)
    add_parallel_flags(p)
    p.add_argument("--json", action="store_true", help="one JSON document on stdout, everything else on stderr")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see harness/cli/boundary.py)."""
    argv = list(sys.argv[1:] if argv is None else argv)
    return run_command(lambda: calibrate(parser().parse_args(argv), argv))


def calibrate(args: argparse.Namespace, argv: Sequence[str]) -> int:
    """argv -> runs -> noise, false positives, planted effect -> a record in the store."""
    place = Place.of(args)
    choose_device(args.device)
    place.engine(place.out / LOG)  # a wrong engine is refused before any text is read
    seeds = seeds_of(args)
    if len(seeds) < FEWEST_SEEDS:
        raise UserError(f"a calibration needs at least {FEWEST_SEEDS} seeds, got {len(seeds)}; 8 say more")
    scores = scores_of_runs(args)
    with leave_nothing_behind(place.out, place.store):
        data = prepare_data(args, place.store)
        baseline = Arm(args.baseline, baseline_of(args).replace(vocab_size=data.vocab_size))
        first = plan_baseline(baseline, recipe_of(args).tokens_per_step, **budget_of(args))
        plan = Plan((first, planted_arm(first)), args.match, recipe_of(args))
        check_parallel(place.parallel, plan)
        if args.tasks is not None:
            check_tasks(scores, data, data_folder(place.store))
    study = study_record(
        plan,
        data,
        command=argv,
        seeds=seeds,
        margin=args.margin,
        device=args.device,
        scores=scores.names,
        parallel=place.parallel,
    )
    paired = tasks_of(
        plan,
        data,
        seeds,
        place.store,
        place.device,
        place.checkpoint_seconds,
        scores=scores.requests,
        parallel=place.parallel,
    )
    sources = source_tasks(paired[0])
    store, folder = RunStore(place.store), place.out / f"calibration_{study.name}"
    run_missing(study, [*paired, *sources], store, folder, place.engine(folder / LOG), write=False)
    runs = collect(paired, store, set())
    record = measured(study, runs, collect(sources, store, set()), argv)
    path = write_calibration(place.store, record)
    print(calibration_text(record), file=sys.stderr if args.json else sys.stdout)
    print(f"kept in {path}", file=sys.stderr)
    if args.json:
        print(json.dumps(to_json(record), indent=1))
    return 0


def scores_of_runs(args: argparse.Namespace) -> ChosenScores:
    """What `--score` chose of each run; a measurement is of arms side by side, and here is one arm.

    Raises:
        UserError: a measurement was asked for by name, or as `choose_scores`.
    """
    chosen = choose_scores(args.score, args.tasks, args.limit, args.data)
    named = sorted(set(MEASUREMENTS) & {name.strip() for name in args.score.split(",")})
    if named:
        raise UserError(
            f"--score {named[0]} measures the arms of a study side by side, and a calibration has one; leave it out"
        )
    return ChosenScores(chosen.requests, ())


def measured(
    study: StudyRecord,
    runs: Sequence[StudyRun],
    sources: Sequence[StudyRun],
    argv: Sequence[str],
) -> CalibrationRecord:
    """The record of a calibration's runs.

    Raises:
        UserError: a run of the baseline did not finish, so its noise is not known.
    """
    broken = [run for run in (*runs, *sources) if run.record.status != "finished" and run.arm != PLANTED]
    if broken or len(runs) < 2 * len(study.seeds):
        raise UserError(
            f"{len(broken)} runs of the baseline did not finish, so its noise cannot be measured; "
            "choose a smaller --lr, or see workers.log"
        )
    (comparison,) = compare(study, runs)
    found, absent = noise_of(study, runs, sources)
    own = [run for run in runs if run.arm == study.baseline]
    values = [run.record.scores[PRIMARY] for run in own]
    scale = scale_of(study)
    return CalibrationRecord(
        key=scale_key(scale),
        scale=scale,
        command=list(argv),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        noise=found,
        false_positives=false_positives([value for value in values if value is not None]),
        planted=planted_found(comparison),
        seconds_per_run=sum(run.record.seconds for run in runs) / len(runs),
        pipeline=pipeline_errors(study, own)._asdict(),
        absent=absent,
        environment=study.environment,
    )


def noise_of(
    study: StudyRecord, runs: Sequence[StudyRun], sources: Sequence[StudyRun]
) -> tuple[list[Noise], dict[str, str]]:
    """The noise of every score that the runs have, and why runs lack any."""
    found, absent = [], {title: lost.reason for lost in absences([*runs, *sources]) for title in lost.titles}
    for score in scores_of([*runs, *sources]).values():
        values = _by_seed(runs, study.baseline, score)
        if len(values) < 2:
            few = f"{len(values)} of {len(study.seeds)} seeds have a value, and a spread needs 2"
            absent.setdefault(score.title, few)
            continue
        beside = {run.arm: value for run in sources if (value := _value(run, score)) is not None}
        table, again = crossed_values(values, beside), rerun_values(values, beside)
        found.append(noise(score, values, table, again, _by_seed(runs, PLANTED, score), len(study.seeds)))
    return found, absent


def _by_seed(runs: Sequence[StudyRun], arm: str, score: Score) -> dict[int, float]:
    return {run.seed: value for run in runs if run.arm == arm and (value := _value(run, score)) is not None}


def _value(run: StudyRun, score: Score) -> float | None:
    """None where the run has no such score, or it is not a number."""
    value = run.value(score.name)
    return value if value is not None and math.isfinite(value) else None


if __name__ == "__main__":
    sys.exit(main())
