"""Runs that diverge are results. An arm that loses its unlucky seeds must not be judged by the lucky ones alone.

Intention to treat: every planned run counts. How often each arm diverges is compared over the same seeds, and the loss
is compared twice: capped at a value declared before the study, where a diverged run has the cap, and over the seeds
that both arms finished. The two answer different questions (Little and Rubin 2019, chapter 1; ICH E9(R1)); where they
disagree, divergence is the finding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from scipy import stats

from harness.analyse.finite import Interval, binomial_interval
from harness.analyse.permutation import SignFlip, sign_flip
from harness.analyse.statistics import PairedT, paired_t


class Rate(NamedTuple):
    """How many runs diverged, with the exact interval of the probability."""

    diverged: int
    runs: int
    rate: float
    ci95: Interval


class RateDifference(NamedTuple):
    """Arm minus baseline in the probability to diverge. Only seeds where one of the two diverged tell them apart."""

    difference: float
    ci95: Interval  # at least 95 %
    only_baseline: int
    only_arm: int
    p: float
    smallest: float  # the least p with so many seeds that tell them apart


class IntentionToTreat(NamedTuple):
    """The loss compared with every planned seed in it, and beside it over the seeds both arms finished."""

    baseline: Rate
    arm: Rate
    divergence: RateDifference
    capped: PairedT
    capped_sign_flip: SignFlip  # capped differences are not normal: read this beside the t-test
    completers: PairedT | None  # None: fewer than two seeds where both finished
    num_completers: int
    num_capped: int  # finished losses above the cap, in both arms


def rate(diverged: Sequence[bool]) -> Rate:
    """The share of runs that diverged, and its exact 95 % interval (Clopper and Pearson 1934)."""
    if not diverged:
        raise ValueError("a rate of divergence needs at least 1 run, got none")
    count = sum(map(bool, diverged))
    return Rate(count, len(diverged), count / len(diverged), binomial_interval(count, len(diverged)))


def rate_difference(baseline: Sequence[bool], arm: Sequence[bool]) -> RateDifference:
    """McNemar's exact test over paired seeds, and a conservative interval.

    With b and c seeds where only the baseline or only the arm diverged, c is Binomial(b + c, 1/2) under the null
    hypothesis (McNemar 1947, Psychometrika 12:153). The interval joins two exact 97.5 % ones of the probabilities
    behind c / n and b / n (Bonferroni): it covers at least 95 % at any n.
    """
    pairs = list(zip(baseline, arm, strict=True))
    if not pairs:
        raise ValueError("rates of divergence are compared over at least 1 seed, got none")
    b = sum(1 for before, after in pairs if before and not after)
    c = sum(1 for before, after in pairs if after and not before)
    p = float(stats.binomtest(c, b + c).pvalue) if b + c else 1.0
    low_b, high_b = binomial_interval(b, len(pairs), 0.975)
    low_c, high_c = binomial_interval(c, len(pairs), 0.975)
    smallest = min(1.0, 2.0 ** (1 - b - c))
    return RateDifference((c - b) / len(pairs), (low_c - high_b, high_c - low_b), b, c, p, smallest)


def intention_to_treat(
    baseline: Sequence[float | None], arm: Sequence[float | None], cap: float, confidence: float = 0.95
) -> IntentionToTreat:
    """Both analyses of the loss. `baseline` and `arm` are over the same planned seeds; None is a run that diverged.

    Args:
        cap: the loss given to a diverged run, and the most that any run counts; declared before the study. The loss of
            a model that knows nothing, ln(vocab_size) nats per token, is a natural one.

    Raises:
        ValueError: the cap is not finite, there are fewer than 2 seeds, or a loss is NaN or infinite (pass None).
    """
    if not math.isfinite(cap):
        raise ValueError(f"the cap of a loss is a finite number declared before the study, got {cap}")
    for loss in (*baseline, *arm):
        if loss is not None and not math.isfinite(loss):
            raise ValueError(f"a run that diverged is passed as None, got a loss of {loss}")
    pairs = list(zip(baseline, arm, strict=True))
    capped = [_capped(after, cap) - _capped(before, cap) for before, after in pairs]
    finished = [after - before for before, after in pairs if before is not None and after is not None]
    lost = [loss is None for loss in baseline], [loss is None for loss in arm]
    return IntentionToTreat(
        baseline=rate(lost[0]),
        arm=rate(lost[1]),
        divergence=rate_difference(*lost),
        capped=paired_t(capped, confidence),
        capped_sign_flip=sign_flip(capped, 1 - confidence),
        completers=paired_t(finished, confidence) if len(finished) > 1 else None,
        num_completers=len(finished),
        num_capped=sum(1 for loss in (*baseline, *arm) if loss is not None and loss > cap),
    )


def _capped(loss: float | None, cap: float) -> float:
    return cap if loss is None else min(loss, cap)
