"""A study with looks: each arm is judged when its declared numbers of pairs are complete, and stops when one decides.

The rule and its boundaries are in analyse.sequential; this says which runs it needs, and what it found in words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from harness.analyse import sequential
from harness.analyse.comparison import ALPHA, Comparison, Verdict, compare
from harness.analyse.outcomes import outcomes
from harness.analyse.scores import PRIMARY
from harness.analyse.screening import compare_screened, screening_seeds, wanted_by_screen
from harness.analyse.text import count, interval, number, plain
from harness.records.record import StudyRecord, StudyRun


def compare_study(study: StudyRecord, runs: Sequence[StudyRun]) -> list[Comparison]:
    """The comparisons that a study's verdicts are about: at its looks where it has declared several, and on fresh seeds
    where it screens.
    """
    looks = looks_of(study)
    if len(looks) < 2:
        return compare_screened(study, runs) if screening_seeds(study) else compare(study, runs, declared=True)
    arms = [arm.name for arm in study.arms if arm.name != study.baseline]
    return [_at_looks(study, runs, arm, looks, ALPHA / max(1, len(arms))) for arm in arms]


def looks_of(study: StudyRecord) -> list[int]:
    """The numbers of pairs after which a look was declared; all seeds at once where nothing was."""
    return study.registration.get("looks") or [len(study.seeds)]


def due(study: StudyRecord, runs: Sequence[StudyRun]) -> list[tuple[str, int]]:
    """The (arm, seed) of the runs that the study needs so far, seed by seed: those of the next look of every arm that
    is not decided. Empty of new ones when nothing is left to decide.
    """
    looks = looks_of(study)
    if len(looks) < 2:
        wanted = wanted_by_screen(study, runs)
        return [(arm.name, s) for s in study.seeds for arm in study.arms if arm.name in wanted.get(s, (arm.name,))]
    needed = {c.arm: _pairs_needed(c, looks) for c in compare_study(study, runs)}
    needed[study.baseline] = max(needed.values(), default=looks[-1])
    return [(arm.name, s) for i, s in enumerate(study.seeds) for arm in study.arms if i < needed[arm.name]]


def _pairs_needed(c: Comparison, looks: Sequence[int]) -> int:
    """Up to the look that decided, or the next one."""
    if c.verdict == "inconclusive":  # after the last look, or with runs that ended badly at an earlier one
        return c.num_planned
    if c.verdict is not None:
        return c.num_seeds
    return next((look for look in looks if look > c.num_seeds), looks[-1])


def _at_looks(study: StudyRecord, runs: Sequence[StudyRun], arm: str, looks: Sequence[int], alpha: float) -> Comparison:
    """The comparison at the look that decides, or the last that was reached."""
    reached: Comparison | None = None
    for i, look in enumerate(looks):
        part, among = _up_to(study, runs, arm, look)
        (found,) = compare(part, among)
        if found.num_seeds < look:
            if _ended_badly(part, among):  # decided by the usual rule: what is left is a selection
                return found
            return reached or dataclasses.replace(found, verdict=None, ci95=None, num_planned=len(study.seeds))
        reached = dataclasses.replace(_decided(found, looks, i, alpha), num_planned=len(study.seeds))
        if reached.verdict is not None:
            break
    assert reached is not None
    return reached


def _up_to(study: StudyRecord, runs: Sequence[StudyRun], arm: str, look: int) -> tuple[StudyRecord, list[StudyRun]]:
    """The arm and the baseline alone, as if the first `look` seeds were the study."""
    names, kept = (study.baseline, arm), study.seeds[:look]
    part = dataclasses.replace(study, seeds=kept, arms=[a for a in study.arms if a.name in names])
    return part, [run for run in runs if run.seed in kept and run.arm in names]


def _ended_badly(part: StudyRecord, runs: Sequence[StudyRun]) -> bool:
    ways = (outcomes(part, runs, arm.name, PRIMARY).lacking for arm in part.arms)
    return any(word != "missing" for lacking in ways for word in lacking.values())


def _decided(found: Comparison, looks: Sequence[int], index: int, alpha: float) -> Comparison:
    """With the word and the interval of the sequential rule. The p-values of a fixed n do not hold here."""
    differences = [after - before for _, before, after in found.pairs]
    decision = sequential.decide(differences, looks, found.margin, alpha)
    better = (decision.mean < 0) == (found.direction == "lower")
    words: dict[str, Verdict] = {
        "equivalent": "equivalent",
        "different": "better" if better else "worse",
        "inconclusive": "inconclusive",
    }
    return dataclasses.replace(
        found,
        ci95=decision.ci,
        p_value=None,
        p_adjusted=None,
        p_equivalence=None,
        p_equivalence_adjusted=None,
        verdict=words.get(decision.word),
        reason=_reason(found, decision, looks, index),
    )


def _reason(found: Comparison, decision: sequential.Decision, looks: Sequence[int], index: int) -> str:
    where = f"look {index + 1} of {len(looks)}, after {count(looks[index], 'pair')}"
    seen = f"|t| {number(abs(decision.t), 2)} against a boundary of {number(decision.boundary, 2)}"
    if decision.word == "equivalent" and found.margin is not None:
        return (
            f"decided at {where}: both one-sided tests place the difference within {plain(found.margin)} {found.unit}"
        )
    if decision.word == "different":
        return f"decided at {where}: the difference is not zero ({seen}, Lan and DeMets)"
    if decision.word == "inconclusive":
        return f"no look decided, the last after {count(looks[-1], 'pair')}: {seen}, interval {interval(decision.ci)}"
    return f"not decided at {where} ({seen}); run the command again to go on to the next"
