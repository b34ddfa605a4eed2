"""A study that screens: many arms on a few seeds, those that go on judged on the other seeds alone.

The rule is in analyse/two_stage.py; this says which runs it needs, and what it found in words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from harness.analyse.comparison import Comparison, compare
from harness.analyse.outcomes import outcomes
from harness.analyse.reasons import broken_parts
from harness.analyse.scores import PRIMARY, SCORES
from harness.analyse.text import seeds
from harness.analyse.two_stage import Screened, screen
from harness.records.record import StudyRecord, StudyRun

OUT = "screened out"


def was_screened_out(c: Comparison) -> bool:
    """Whether a comparison is of an arm that did not go on."""
    return c.verdict is None and c.reason.startswith(OUT)


def screening_seeds(study: StudyRecord) -> list[int]:
    """The seeds that only choose; none where the study does not screen."""
    return list(study.registration.get("screen", []))


def fresh_seeds(study: StudyRecord) -> list[int]:
    """The seeds that judge: all but the screening ones."""
    return [seed for seed in study.seeds if seed not in screening_seeds(study)]


def screened(study: StudyRecord, runs: Sequence[StudyRun]) -> list[Screened] | None:
    """Which arms go on, in the study's order; None before every screening run is there."""
    part = dataclasses.replace(study, seeds=screening_seeds(study))
    found = {arm.name: outcomes(part, runs, arm.name, PRIMARY) for arm in study.arms}
    if any(outcome.seeds("missing") for outcome in found.values()):
        return None
    baseline = found.pop(study.baseline)
    whole = {} if baseline.lacking else {name: arm for name, arm in found.items() if not arm.lacking}
    differences = {
        name: {seed: value - baseline.values[seed] for seed, value in arm.values.items()} for name, arm in whole.items()
    }
    judged = {row.arm: row for row in screen(differences, SCORES[PRIMARY].direction)} if differences else {}
    return [judged.get(name) or _broken(name, [*broken_parts(baseline), *broken_parts(found[name])]) for name in found]


def wanted_by_screen(study: StudyRecord, runs: Sequence[StudyRun]) -> dict[int, set[str]]:
    """By seed, the arms that are run on it so far, where the screen leaves some out; a seed that is not named is run
    by all.
    """
    if not screening_seeds(study):
        return {}
    rows = screened(study, runs)
    on = {row.arm for row in rows or [] if row.goes_on}
    return {seed: {study.baseline, *on} if on else set() for seed in fresh_seeds(study)}


def compare_screened(study: StudyRecord, runs: Sequence[StudyRun]) -> list[Comparison]:
    """An arm that went on by its fresh seeds alone, corrected among those that went on; an arm that did not with its
    screening mean, and without a verdict.
    """
    rows = screened(study, runs)
    if rows is None:
        waiting = compare(study, [run for run in runs if run.seed in screening_seeds(study)])
        return [_unjudged(c, study, "the screen is not complete; run the command again") for c in waiting]
    on = [row.arm for row in rows if row.goes_on]
    judged: dict[str, Comparison] = {}
    if on:
        judged = {c.arm: c for c in compare(*judged_part(study, runs), declared=True)}
    part = _part(study, screening_seeds(study), [row.arm for row in rows])
    before = {c.arm: c for c in compare(part, [run for run in runs if run.seed in part.seeds])}
    where = seeds(screening_seeds(study))
    return [judged.get(row.arm) or _unjudged(before[row.arm], study, f"{OUT} on {where}: {row.reason}") for row in rows]


def judged_part(study: StudyRecord, runs: Sequence[StudyRun]) -> tuple[StudyRecord, Sequence[StudyRun]]:
    """The study as its verdicts see it: without what the screen used and left behind. A study that does not screen is
    all of it.
    """
    if not screening_seeds(study):
        return study, runs
    on = [row.arm for row in screened(study, runs) or [] if row.goes_on]
    part = _part(study, fresh_seeds(study), on)
    names = {arm.name for arm in part.arms}
    return part, [run for run in runs if run.seed in part.seeds and run.arm in names]


def _part(study: StudyRecord, kept: list[int], arms: Sequence[str]) -> StudyRecord:
    return dataclasses.replace(
        study, seeds=kept, arms=[arm for arm in study.arms if arm.name in (study.baseline, *arms)]
    )


def _unjudged(c: Comparison, study: StudyRecord, reason: str) -> Comparison:
    """Its mean, and nothing that could be taken for a test: the same numbers chose."""
    return dataclasses.replace(
        c,
        ci95=None,
        p_value=None,
        p_adjusted=None,
        p_equivalence=None,
        p_equivalence_adjusted=None,
        probability_better=None,
        smallest_effect=None,
        effect_size=None,
        verdict=None,
        reason=reason,
        num_planned=len(study.seeds),
    )


def _broken(arm: str, parts: Sequence[str]) -> Screened:
    return Screened(arm, float("nan"), float("nan"), False, "; ".join(parts))
