"""Divergence in a study by intention to treat: every planned run counts (analyse/divergence.py)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.analyse.comparison import Comparison
from harness.analyse.divergence import IntentionToTreat, intention_to_treat
from harness.analyse.outcomes import Outcomes, by_arm, outcomes
from harness.analyse.scores import PRIMARY
from harness.analyse.screening import fresh_seeds
from harness.records.record import StudyRecord, StudyRun

FEWEST_PAIRS = 2


@dataclass(frozen=True)
class IntentionRow:
    """An arm and the one it is compared with, over the seeds where both finished or diverged."""

    arm: str
    against: str
    pairs: int
    found: IntentionToTreat


def cap_of(study: StudyRecord) -> float | None:
    """The loss that a diverged run counts as, in nats per byte: as registered, or the loss of equal odds for all tokens
    where the study is older; None where its data do not say.
    """
    if (cap := study.registration.get("divergence_cap")) is not None:
        return cap
    told = {name: study.data.get(name) for name in ("vocab_size", "validation_tokens", "validation_bytes")}
    if not all(told.values()):
        return None
    return math.log(study.data["vocab_size"]) * study.data["validation_tokens"] / study.data["validation_bytes"]


def intention_rows(
    study: StudyRecord, runs: Sequence[StudyRun], comparisons: Sequence[Comparison]
) -> list[IntentionRow]:
    """A row for every comparison in which a run diverged."""
    cap, mine = cap_of(study), by_arm(runs)
    found = []
    for c in comparisons:
        base, arm = (_judged(study, outcomes(study, mine.get(name, ()), name, PRIMARY)) for name in (c.baseline, c.arm))
        seeds = [seed for seed in base if seed in arm]
        before, after = [base[s] for s in seeds], [arm[s] for s in seeds]
        if cap is not None and len(seeds) >= FEWEST_PAIRS and None in (*before, *after):
            found.append(IntentionRow(c.arm, c.baseline, len(seeds), intention_to_treat(before, after, cap)))
    return found


def _judged(study: StudyRecord, found: Outcomes) -> dict[int, float | None]:
    """By seed the loss, None for a run that diverged; a run that failed or is missing says nothing of either."""
    kept = fresh_seeds(study)
    values: dict[int, float | None] = {s: v for s, v in found.values.items() if s in kept}
    return values | {seed: None for seed in found.seeds("diverged") if seed in kept}
