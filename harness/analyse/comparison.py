"""Each arm of a study against its baseline: the paired numbers, corrected for how many arms were tried, and
the one word they allow. The rule is in `_judge`; the sentences that explain it are in analyse.reasons.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.analyse import reasons, statistics
from harness.analyse.design import compared_with
from harness.analyse.family import adjust, family_of
from harness.analyse.multiplicity import FALSE_DISCOVERY_RATE
from harness.analyse.outcomes import Outcomes, by_arm, outcomes
from harness.analyse.scores import PRIMARY, Score, score_named, scores_of
from harness.analyse.text import p_is
from harness.records.record import StudyRecord, StudyRun

ALPHA = 0.05  # chance of a wrong word, shared among all arms of a study; convention

Verdict = Literal["equivalent", "better", "worse", "inconclusive"]


@dataclass(frozen=True)
class Comparison:
    """Numbers are over the seeds that both arms finished; None is what those seeds cannot say.

    A difference is arm minus baseline. `p_adjusted` and `p_equivalence_adjusted` are corrected over all arms
    of the study; `smallest_effect` is what a level of 0.05 shared among them detects with 80 % power.
    `verdict` is None where no verdict can be looked for at all, and `reason` says why.
    """

    arm: str
    baseline: str
    score: str
    unit: str
    direction: Literal["lower", "higher"]  # which is better
    baseline_mean: float | None
    arm_mean: float | None
    mean_difference: float | None
    ci95: tuple[float, float] | None
    num_seeds: int  # pairs that both finished
    sd_difference: float | None
    p_value: float | None  # paired t-test, two-sided
    p_adjusted: float | None
    p_equivalence: float | None  # two one-sided tests
    p_equivalence_adjusted: float | None
    probability_better: float | None
    smallest_effect: float | None
    effect_size: float | None  # Hedges g of the differences
    correlation: float | None  # of the two arms over seeds
    verdict: Verdict | None
    reason: str
    pairs: list[list[float]]  # [seed, baseline value, arm value]
    margin: float | None  # of equivalence, in `unit`
    num_planned: int  # seeds of the study
    correction: str = "Holm's correction"  # behind p_adjusted
    ci95_together: tuple[float, float] | None = None  # holds for all arms at once, where the correction has such


def compare(
    study: StudyRecord, runs: Sequence[StudyRun], score: str = PRIMARY, *, declared: bool = False
) -> list[Comparison]:
    """One comparison for every arm but the baseline, in the study's order. The arms are one family of tests.

    Args:
        declared: as the study declared its verdicts: each arm with the one its design compares it with, and corrected
            as its family says. Otherwise each with the baseline, by Holm's correction.
        score: a name of `scores.SCORES`, or of a value that the runs scored beside their loss; only what has a margin
            can be called equivalent.

    Raises:
        UserError: no run has such a score.
    """
    row = score_named(score, scores_of(runs))
    mine = by_arm(runs)
    found = {arm.name: outcomes(study, mine.get(arm.name, ()), arm.name, score) for arm in study.arms}
    against = compared_with(study) if declared else {arm: study.baseline for arm in found if arm != study.baseline}
    measured = [_measure(row, study, found[other], found[arm]) for arm, other in against.items()]
    kind = family_of(study) if declared else "holm"
    adjusted = adjust(kind, len(study.seeds), [c.pairs for c in measured], [c.p_value for c in measured])
    equivalence = statistics.holm([comparison.p_equivalence for comparison in measured])
    family = max(1, sum(comparison.p_value is not None for comparison in measured))
    judged = []
    for i, (comparison, q) in enumerate(zip(measured, equivalence, strict=True)):
        comparison = dataclasses.replace(
            comparison,
            p_adjusted=adjusted.p[i],
            p_equivalence_adjusted=q,
            smallest_effect=_smallest(comparison, family),
            correction=adjusted.method,
            ci95_together=adjusted.intervals[i],
        )
        judge = _explored if kind == "explore" else _judge
        verdict, reason = judge(comparison, found[comparison.baseline], found[comparison.arm], family)
        if adjusted.refused and verdict == "inconclusive" and comparison.num_seeds == comparison.num_planned:
            reason = f"{adjusted.method}, as declared, gives no verdict: {adjusted.refused}"
        judged.append(dataclasses.replace(comparison, verdict=verdict, reason=reason))
    return judged


def to_json(comparison: Comparison) -> dict[str, Any]:
    """A comparison as plain JSON data."""
    return dataclasses.asdict(comparison)


def _measure(score: Score, study: StudyRecord, baseline: Outcomes, arm: Outcomes) -> Comparison:
    """What the two arms say by themselves: no correction for other arms, and no verdict yet."""
    pairs = [[seed, baseline.values[seed], arm.values[seed]] for seed in baseline.values if seed in arm.values]
    before, after = [pair[1] for pair in pairs], [pair[2] for pair in pairs]
    differences = [b - a for a, b in zip(before, after, strict=True)]
    margin = None if score.margin_scale is None or study.margin <= 0 else study.margin * score.margin_scale
    tested = len(pairs) >= 2  # one pair has a difference and no spread to judge it by
    test = statistics.paired_t(differences) if tested else None
    below = statistics.probability_below_zero(differences) if tested else None
    return Comparison(
        arm=arm.arm,
        baseline=baseline.arm,
        score=score.name,
        unit=score.unit,
        direction=score.direction,
        baseline_mean=statistics.mean(before),
        arm_mean=statistics.mean(after),
        mean_difference=test.mean if test else statistics.mean(differences),
        ci95=test.ci if test else None,
        num_seeds=len(pairs),
        sd_difference=statistics.mean_and_sd(differences)[1] if tested else None,
        p_value=test.p if test else None,
        p_adjusted=None,
        p_equivalence=statistics.tost(differences, margin) if tested and margin is not None else None,
        p_equivalence_adjusted=None,
        probability_better=1 - below if below is not None and score.direction == "higher" else below,
        smallest_effect=None,
        effect_size=statistics.hedges_g(differences) if tested else None,
        correlation=statistics.pairing_correlation(before, after) if tested else None,
        verdict=None,
        reason="",
        pairs=pairs,
        margin=margin,
        num_planned=len(study.seeds),
    )


def _smallest(comparison: Comparison, family: int) -> float | None:
    """Detectable at ALPHA / family, the level at which Holm's procedure begins."""
    if comparison.sd_difference is None:
        return None
    return statistics.smallest_effect(comparison.sd_difference, comparison.num_seeds, alpha=ALPHA / family)


def _judge(c: Comparison, baseline: Outcomes, arm: Outcomes, family: int) -> tuple[Verdict | None, str]:
    """The verdict and the sentence that explains it.

    A word is only given by the whole plan. Runs that diverged or failed make the rest a selection; runs
    that are not there yet make a look before the end, which finds differences too often.
    """
    if c.num_planned < 2:
        return None, reasons.one_seed(baseline, arm)
    if len(arm.seeds("diverged")) == c.num_planned == len(baseline.values):
        return "worse", reasons.always_diverged(baseline, arm)
    if reasons.broken_parts(baseline) or reasons.broken_parts(arm):
        return "inconclusive", reasons.unfinished(baseline, arm)
    if c.num_seeds < c.num_planned:
        return (None if c.num_seeds < 2 else "inconclusive"), reasons.interrupted(c.num_seeds, baseline, arm)
    assert c.ci95 is not None
    assert c.mean_difference is not None
    if c.p_equivalence_adjusted is not None and c.p_equivalence_adjusted <= ALPHA:
        return "equivalent", reasons.equivalent(c.p_equivalence_adjusted, c.ci95, c.margin, c.unit, family)
    if c.p_adjusted is not None and c.p_adjusted <= ALPHA:
        word = "better" if (c.mean_difference < 0) == (c.direction == "lower") else "worse"
        return word, reasons.different(c.p_adjusted, c.ci95, c.margin, c.unit, family, c.correction)
    return "inconclusive", reasons.inconclusive(
        c.ci95, c.smallest_effect, _needed(c, family), c.num_seeds, c.unit, family
    )


def _explored(c: Comparison, baseline: Outcomes, arm: Outcomes, family: int) -> tuple[None, str]:
    """An exploratory study names what to confirm, and judges nothing."""
    whole = "" if c.num_seeds == c.num_planned else f"{c.num_seeds} of {c.num_planned} planned pairs are complete; "
    if c.p_adjusted is None:
        return None, f"{whole}exploratory, and there are too few pairs to name it or not"
    q = FALSE_DISCOVERY_RATE
    if is_discovery(c):
        return None, (
            f"{whole}exploratory: among the discoveries ({p_is('q', c.p_adjusted)}), of which at most {q:.0%} are "
            "wrong on average; confirm it on fresh seeds"
        )
    return None, f"{whole}exploratory: not among the discoveries ({p_is('q', c.p_adjusted)}, above {q:g})"


def is_discovery(c: Comparison) -> bool:
    """Whether an exploratory study names the arm, at FALSE_DISCOVERY_RATE."""
    return c.p_adjusted is not None and c.p_adjusted <= FALSE_DISCOVERY_RATE


def _needed(c: Comparison, family: int) -> int | None:
    """Seeds for a verdict if the true difference is the one seen: to tell it from zero, or from the margin,
    whichever takes fewer.
    """
    assert c.mean_difference is not None
    assert c.sd_difference is not None
    size = abs(c.mean_difference)
    distance = size if c.margin is None else max(size, c.margin - size)
    return statistics.pairs_needed(c.sd_difference, distance, alpha=ALPHA / family)
