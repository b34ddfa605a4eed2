"""`--match all` and `--match time`: measure the step of every arm, plan by it, and run what is beside equal FLOPs.

The primary study is that of equal FLOPs, an ordinary one. The other regimes are one more study, in its folder
`regimes`, whose arms are named by arm and regime and are one family of tests. Its baseline's runs are the primary's.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from harness.cli.run import Place, run_study, say
from harness.data.dataset import TokenizedData
from harness.engine.choose_scores import ChosenScores
from harness.engine.regimes import with_regimes
from harness.engine.study import study_record
from harness.engine.timing import TimedArm, TimingTask, step_timing
from harness.plan.regimes import plan_regimes, secondary_plan, time_plan, timed_ledger, unmatched
from harness.plan.study import Plan
from harness.records.record import StudyRecord, to_json
from harness.records.study import begun_with
from harness.records.timing import TimingRecord
from harness.reporting.material import REGIMES
from harness.reporting.section import Material
from harness.reporting.write import write_report
from harness.train.device import choose_device
from variants.errors import UserError


def time_arms(plan: Plan, data: TokenizedData, place: Place) -> TimingRecord:
    """Seconds of a training step of every arm of a FLOP-matched plan, measured once and kept in the store."""
    arms = [TimedArm(arm.name, timed_ledger(arm, plan.baseline).spec) for arm in unmatched(plan)]
    timed = [TimedArm(plan.baseline.name, plan.baseline.ledger.spec), *arms]
    return step_timing(TimingTask(timed, plan.recipe, data, choose_device(place.device), place.step), place.store, say)


def planned_by_time(plan: Plan, data: TokenizedData, place: Place) -> tuple[Plan, dict[str, Any]]:
    """A FLOP-matched plan matched by wall clock instead, and the timing that did it, as a study keeps it.

    Raises:
        UserError: an arm cannot be matched.
    """
    timing = time_arms(plan, data, place)
    return time_plan(plan, timing.relative), to_json(timing)


@dataclasses.dataclass(frozen=True)
class Regimes:
    """The regimes beside equal FLOPs as one study."""

    plan: Plan
    study: StudyRecord


def declare_regimes(
    study: StudyRecord, plan: Plan, data: TokenizedData, scores: ChosenScores, place: Place
) -> tuple[StudyRecord, Regimes | None]:
    """The study with its regimes declared, and those beside equal FLOPs, None where no arm can be matched under them.

    A study that was begun keeps the timing it was planned with.

    Raises:
        UserError: no arm can be matched under any regime.
    """
    timing = begun_with(place.out / study.name) or time_arms(plan, data, place)
    rows = plan_regimes(plan, timing.relative)
    if not any(row.planned for row in rows):
        raise UserError(rows[0].refused)
    study = with_regimes(study, rows, timing)
    beside = secondary_plan(plan, rows)
    if beside is None:
        return study, None
    other = study_record(
        beside,
        data,
        command=study.command,
        seeds=study.seeds,
        margin=study.margin,
        device=place.device,
        scores=_of_runs(scores).names,
        looks=study.registration["looks"],
        step=place.step,
    )
    return study, Regimes(beside, dataclasses.replace(other, timing=study.timing))


def run_regimes(
    material: Material, regimes: Regimes, data: TokenizedData, scores: ChosenScores, place: Place
) -> Material:
    """The primary study with that of the other regimes, trained where the store does not have them; both reports."""
    folder = place.out / material.study.name
    found = run_study(regimes.study, regimes.plan, data, _of_runs(scores), place, folder / REGIMES)
    material = dataclasses.replace(material, regimes=found)
    write_report(folder, material)
    return material


def _of_runs(scores: ChosenScores) -> ChosenScores:
    """Without what is measured of all arms side by side: the primary study has that."""
    return dataclasses.replace(scores, measurements=())
