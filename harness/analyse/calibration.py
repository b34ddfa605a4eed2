"""From the runs of a calibration to its numbers: the noise of a score, and whether the procedure errs as it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.analyse.comparison import ALPHA, Comparison
from harness.analyse.false_positives import false_positive_rate
from harness.analyse.finite import Interval
from harness.analyse.pairing import pairing
from harness.analyse.planning import cautious_sd, detectable, plan
from harness.analyse.scores import Score
from harness.analyse.statistics import mean_and_sd, paired_t
from harness.analyse.text import count, duration, number, plain
from harness.analyse.variance import crossed, within
from harness.records.calibration import CalibrationRecord, Noise

FEWEST_PAIRS = 4
"""Pairs of an A/A split; fewer are no study."""


def noise(
    score: Score,
    values: Mapping[int, float],
    table: Sequence[Sequence[float]] | None,
    again: Sequence[Sequence[float]],
    planted: Mapping[int, float],
    num_seeds: int,
) -> Noise:
    """The noise of one score.

    Args:
        values: by seed, of 2 seeds at least; `num_seeds` were planned.
        table: (init seeds, data seeds), the seeds' own runs on its diagonal; None where a run lacks the score.
        again: pairs of runs with equal seeds.
        planted: the planted arm's values by seed; it is paired only where it has all the seeds of `values`.
    """
    own = list(values.values())
    beside = [planted[seed] for seed in values] if planted.keys() == values.keys() else None
    paired = None if beside is None else pairing(own, beside)
    differences = None if beside is None else [b - a for a, b in zip(own, beside, strict=True)]
    found = [] if table is None else list(crossed(np.array(table)[:, :, None]))
    found += [within(again, "hardware")] if again else []
    lacking = [
        f"{num_seeds - len(own)} of {num_seeds} seeds have no value" if len(own) < num_seeds else "",
        "a run of the crossed seeds has no value" if table is None else "",
        "no run done again has a value" if not again else "",
        "the planted arm lacks seeds" if beside is None else "",
    ]
    return Noise(
        score=score.name,
        unit=score.unit,
        values=own,
        sd=mean_and_sd(own)[1],
        cautious_sd=cautious_sd(own),
        components=[[c.source, c.variance, *c.ci95] for c in found],
        correlation=None if paired is None else paired.correlation,
        sd_difference=None if differences is None else mean_and_sd(differences)[1],
        correlation_ci95=None if paired is None else _limits(paired.correlation_ci95),
        gain=None if paired is None else paired.gain,
        gain_ci95=None if paired is None else _limits(paired.gain_ci95),
        reason="; ".join(reason for reason in lacking if reason),
        counts={"init": len(table or ()), "data order": len(table[0]) if table else 0, "again": len(again)},
    )


def _limits(ci: Interval | None) -> list[float] | None:
    return None if ci is None else list(ci)


def false_positives(values: Sequence[float]) -> dict[str, Any]:
    """How often the paired t-test at 5 % sees a difference between halves of the baseline's own runs."""
    pairs = len(values) // 2
    if pairs < FEWEST_PAIRS:
        needed = 2 * FEWEST_PAIRS
        return {"reason": f"A/A splits of {FEWEST_PAIRS} pairs need {needed} seeds, got {len(values)}"}
    found = false_positive_rate(values, lambda d: paired_t(d.tolist()).p <= ALPHA, pairs)
    return {**found._asdict(), "pairs": pairs, "level": ALPHA, "reason": ""}


def planted_found(comparison: Comparison) -> dict[str, Any]:
    """Whether the arm that is worse by construction was called worse."""
    return {
        "found": comparison.verdict == "worse",
        "verdict": comparison.verdict,
        "mean_difference": comparison.mean_difference,
        "ci95": comparison.ci95,
        "reason": comparison.reason,
    }


def forecast(
    record: CalibrationRecord,
    num_seeds: int,
    num_runs: int,
    workers: int,
    effect: float | None,
    power: float,
    tests: int = 1,
) -> list[str]:
    """What a study at the calibrated scale can see, in sentences, before it trains; `tests` arms share the level, and
    what is seen is what Holm's first step lets through.
    """
    measured = record.noise[0]
    sd = measured.sd_difference or measured.cautious_sd * 2**0.5
    source = "that of paired differences" if measured.sd_difference else "the upper limit of an arm's, unpaired"
    lines = []
    if num_seeds >= 2:
        (found,) = detectable(sd, [num_seeds], power, ALPHA / tests)
        shared = f", the level shared by {tests} arms" if tests > 1 else ""
        lines.append(
            f"{count(num_seeds, 'paired seed')} can find a difference of {number(found.smallest_effect)} "
            f"{measured.unit} ({power:.0%} power{shared}; sd {number(sd)}, {source}, calibrated {record.created[:10]})"
        )
    if effect is not None:
        wished = plan(sd, effect, power, ALPHA, tests)
        needed = "more than any study has" if wished.pairs_for_difference is None else str(wished.pairs_for_difference)
        lines.append(f"a difference of {plain(effect)} {measured.unit} needs {needed} paired seeds")
    rounds = -(-num_runs // workers)
    lines.append(f"about {duration(rounds * record.seconds_per_run)} for {count(num_runs, 'run')}")
    return lines
