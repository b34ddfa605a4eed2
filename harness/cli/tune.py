"""`--tune lr`: search every arm's learning rate alike on seeds that are never scored, then run the study again with
each arm at its own.

The study itself keeps the shared recipe. The tuned one is one more study, in its folder `tuned`, on the same evaluation
seeds; the search is an optuna study in its folder `tuning` (harness/engine/sweep_study.py).
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.analyse import learning_rate, tuning
from harness.analyse.learning_rate import curve, due, rate_of
from harness.cli.arguments import Parser, positive
from harness.cli.run import Place, engine_of, run_study, say
from harness.data.dataset import TokenizedData
from harness.engine.choose_scores import ChosenScores
from harness.engine.engines import EngineChoice
from harness.engine.study import study_record
from harness.engine.sweep import FixedArm, Sweep
from harness.engine.sweep_study import Search, search, sweep_name
from harness.plan.study import Plan
from harness.records.atomic import StoreError
from harness.records.record import StudyRecord
from harness.records.registration import extended
from harness.records.sweep import TrialRecord
from harness.records.tuning import TuningRecord, TuningTrial, check_disjoint, write_tuning
from harness.reporting.material import TUNED
from harness.reporting.section import Material
from harness.reporting.write import write_report
from harness.spec.space import Choices, Range
from variants.errors import UserError

FIRST_SEED = 10_000
"""First of the tuning seeds: evaluation seeds begin at 0, a sweep's fresh ones at 1000."""

DEFAULT_SEEDS = 2
"""Tuning seeds. Assumption: a learning rate a factor 2 off costs 0.04 nats and a seed's noise is 0.007
(docs/decisions/0002-default-recipe.md), so that two are enough to choose, and show a spread."""

DEFAULT_SHARE = 0.25
"""Of an arm's steps in a trial, the largest that definitions 3.3 allows with a check of transfer."""

SEARCH_FOLDER = "tuning"

WHOLE = "at the whole budget"


@dataclass(frozen=True)
class Tuning:
    """How the learning rates of a study are tuned."""

    seeds: tuple[int, ...]
    share: float
    engine: EngineChoice  # where trials are trained

    @property
    def decided(self) -> list[Any]:
        """What makes a tuned study another one, as plain data."""
        return ["tune lr", list(self.seeds), self.share]


def add_tuning_flags(parser: Parser) -> None:
    """Whether arms are also compared at learning rates of their own."""
    group = parser.add_argument_group("fair tuning (docs/tuning.md)")
    group.add_argument(
        "--tune",
        choices=("lr",),
        help="search every arm's learning rate alike, on seeds that are never scored, and compare tuned arms too",
    )
    group.add_argument(
        "--tune-seeds",
        type=positive(int),
        metavar="N",
        help=f"tuning seeds of every trial; default {DEFAULT_SEEDS}",
    )
    group.add_argument(
        "--tune-share",
        type=_share,
        metavar="1/N",
        help=f"of an arm's steps that a trial trains, e.g. 1/4, or 1; default {DEFAULT_SHARE:g}",
    )


def _share(text: str) -> float:
    """`1/4`, `0.25` or `1`."""
    top, slash, bottom = text.partition("/")
    try:
        share = float(top) / (float(bottom) if slash else 1.0)
    except (ValueError, ZeroDivisionError):
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"takes a share of the budget, 1/4, 0.25 or 1, got {text!r}")
    return share


def tuning_of(args: argparse.Namespace, seeds: Sequence[int]) -> Tuning | None:
    """What the flags ask for, None without `--tune`.

    Raises:
        UserError: the others are given without it, or a seed would be tuned on and scored too.
    """
    if args.tune is None:
        if args.tune_seeds or args.tune_share:
            raise UserError("--tune-seeds and --tune-share say how to tune; add --tune lr")
        return None
    if args.parallel is not None:
        raise UserError("--tune lr trains its trials in one process each; leave --parallel out")
    tuned = Tuning(
        tuple(range(FIRST_SEED, FIRST_SEED + (args.tune_seeds or DEFAULT_SEEDS))),
        args.tune_share or DEFAULT_SHARE,
        engine_of(args),
    )
    check_disjoint(tuned.seeds, seeds)
    return tuned


def declared(study: StudyRecord, how: Tuning) -> StudyRecord:
    """The study with its tuning registered."""
    first = ["primary: every arm with the shared recipe, corrected over the arms"]
    whole = "" if how.share == 1 else "; the baseline's is tried at the whole budget, with half and twice of it"
    registration = extended(
        study.registration,
        families=[
            *study.registration.get("families", first),
            "tuned: the same comparisons with every arm at its own learning rate, corrected alike",
        ],
        tuning=f"learning rate of every arm: octaves -3..+3 around {study.recipe['lr']:g}, up to 3 more on a side for "
        "all arms where the best of one lies on the edge, then the half octaves beside each best; the vertex of a "
        f"quadratic through 5 points is chosen; {how.share:g} of the steps, tuning seeds "
        f"{', '.join(map(str, how.seeds))}, which are never scored{whole}",
    )
    return dataclasses.replace(study, registration=registration)


def tune(plan: Plan, how: Tuning, data: TokenizedData, place: Place, folder: Path) -> TuningRecord:
    """Search the learning rates of a plan's arms; goes on where a stopped one was.

    Raises:
        StoreError: the store or the trials cannot be written.
    """
    names, center = [arm.name for arm in plan.arms], plan.recipe.lr
    sweep = search_space(plan, how, data, place)
    whole = sweep.arms[-1].name if how.share < 1 else ""
    trials: list[TrialRecord] = []

    def look(points: list[dict[str, Any]]) -> list[TuningTrial]:
        nonlocal trials
        how_many = Search(len(trials) + len(points), "random", "none", None, how.engine)
        trials = search(sweep, how_many, folder / SEARCH_FOLDER, place.num_workers, say, points)
        found = [_trial(trial) for trial in trials]
        if missed := [p for p in points if p not in [{"arm": t.arm, "lr": t.lr, "seed": t.seed} for t in found]]:
            raise StoreError(f"{len(missed)} trials were lost again and again, {missed[0]} among them; see workers.log")
        return found

    found: list[TuningTrial] = []
    while missing := due([curve(found, name, center) for name in names]):
        found = look(
            [
                {"arm": arm, "lr": rate_of(center, half), "seed": seed}
                for seed in how.seeds
                for arm, halves in missing.items()
                for half in halves
            ]
        )
    best = learning_rate.best_rate(curve(found, names[0], center), center)
    if whole and best is not None:
        tried = {(trial.lr, trial.seed) for trial in found if trial.arm == whole}
        wanted = [(best * factor, seed) for seed in how.seeds for factor in (0.5, 1.0, 2.0)]
        points = [{"arm": whole, "lr": lr, "seed": seed} for lr, seed in wanted if (lr, seed) not in tried]
        found = look(points) if points else found
    return TuningRecord(
        center=center,
        share=how.share,
        seeds=list(how.seeds),
        arms=names,
        whole=whole,
        sweep=sweep_name(sweep),
        trials=sorted(found, key=lambda t: (names.index(t.arm) if t.arm in names else len(names), t.lr, t.seed)),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def search_space(plan: Plan, how: Tuning, data: TokenizedData, place: Place) -> Sweep:
    """The search as a sweep over (arm, rate, seed): every arm as it was matched, at its share of its own steps."""
    arms = [FixedArm(a.name, a.ledger.spec, max(1, round(how.share * a.num_steps))) for a in plan.arms]
    if how.share < 1:
        first = plan.baseline
        arms.append(FixedArm(f"{first.name} {WHOLE}", first.ledger.spec, first.num_steps))
    widest = learning_rate.WIDEST + 2  # the tuned rate, doubled, must lie inside too
    low, high = (rate_of(plan.recipe.lr, half) for half in (-widest - 2, widest + 2))
    return Sweep(
        baseline_name=plan.baseline.name,
        baseline=plan.baseline.ledger.spec,
        recipe=plan.recipe,
        match="flops",
        budget=None,
        num_steps=plan.baseline.num_steps,
        choices=(Choices("arm", tuple(arm.name for arm in arms)),),
        ranges=(
            Range("lr", "float", low, high, log=True),
            Range("seed", "int", how.seeds[0], how.seeds[-1], log=False),
        ),
        objectives="nats_per_byte",
        seed=how.seeds[0],
        data_sha256=data.sha256,
        store=str(place.store),
        device=place.device,
        checkpoint_seconds=place.checkpoint_seconds,
        arms=tuple(arms),
    )


def _trial(trial: TrialRecord) -> TuningTrial:
    loss = trial.values[0] if trial.state == "complete" else None
    return TuningTrial(
        arm=trial.params["arm"],
        lr=trial.params["lr"],
        seed=trial.params["seed"],
        state="failed" if loss is None else "complete",
        loss=loss,
        reason=trial.reason,
        key=trial.key,
    )


def tuned_plan(plan: Plan, record: TuningRecord, margin: float) -> Plan | None:
    """The plan with every arm at its own learning rate; None where the baseline has none, for all of its diverged.

    An arm whose every rate diverged keeps the shared one, and its runs show what comes of it.
    """
    rates = {s.arm: s.chosen for s in tuning.sensitivities(record, margin)}
    base = rates[plan.baseline.name]
    if base is None:
        return None
    recipe = dataclasses.replace(plan.recipe, lr=base)
    own = {arm.name: dataclasses.replace(plan.recipe, lr=rates[arm.name] or plan.recipe.lr) for arm in plan.arms[1:]}
    return dataclasses.replace(
        plan, recipe=recipe, own_recipes=tuple((name, own[name]) for name in own if own[name] != recipe)
    )


def run_tuned(
    material: Material, plan: Plan, how: Tuning, data: TokenizedData, scores: ChosenScores, place: Place
) -> Material:
    """The study with its search and its tuned comparison, trained where the store does not have them; all reports."""
    study, folder = material.study, place.out / material.study.name
    record = tune(plan, how, data, place, folder)
    write_tuning(folder, record, study.seeds)
    material = dataclasses.replace(material, tuning=record)
    again = tuned_plan(plan, record, study.margin)
    if again is not None:
        told = study.registration
        tuned = study_record(
            again,
            data,
            command=study.command,
            seeds=study.seeds,
            margin=study.margin,
            device=place.device,
            scores=dataclasses.replace(scores, measurements=()).names,
            looks=told["looks"],
            step=place.step,
            family=told.get("family", "holm"),
            screen=len(told.get("screen", [])),
        )
        unmeasured = dataclasses.replace(scores, measurements=())
        material = dataclasses.replace(material, tuned=run_study(tuned, again, data, unmeasured, place, folder / TUNED))
    write_report(folder, material)
    return material
