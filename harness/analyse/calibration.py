"""From the runs of a calibration to its numbers: the noise of a score, and whether the procedure errs as it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.analyse.comparison import ALPHA, Comparison
from harness.analyse.false_positives import false_positive_rate, number_of_splits
from harness.analyse.pairing import pairing
from harness.analyse.planning import cautious_sd, detectable, plan
from harness.analyse.scores import PRIMARY, SCORES
from harness.analyse.statistics import mean_and_sd, paired_t
from harness.analyse.text import count, duration, number, plain
from harness.analyse.variance import crossed, within
from harness.records.calibration import CalibrationRecord, Noise

FEWEST_PAIRS = 4
"""Pairs of an A/A split; fewer are no study."""


def noise(
    score: str,
    values: Sequence[float],
    table: Sequence[Sequence[float]],
    again: Sequence[Sequence[float]],
    planted: Sequence[float] | None,
) -> Noise:
    """The noise of one score.

    Args:
        values: one a seed.
        table: (init seeds, data seeds), the seeds' own runs on its diagonal.
        again: pairs of runs with equal seeds.
        planted: the planted arm's values on the same seeds, None where one is missing.
    """
    found = [*crossed(np.array(table)[:, :, None]), within(again, "hardware")]
    paired = None if planted is None else pairing(values, planted)
    differences = None if planted is None else [b - a for a, b in zip(values, planted, strict=True)]
    return Noise(
        score=score,
        unit=SCORES[score].unit,
        values=list(values),
        sd=mean_and_sd(values)[1],
        cautious_sd=cautious_sd(values),
        components=[[c.source, c.variance, *c.ci95] for c in found],
        correlation=None if paired is None else paired.correlation,
        sd_difference=None if differences is None else mean_and_sd(differences)[1],
    )


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


def calibration_text(record: CalibrationRecord) -> str:
    """The calibration as lines for the terminal."""
    lines = []
    for measured in record.noise:
        lines.append(
            f"{measured.score}: sd {number(measured.sd, 5)} over {count(len(measured.values), 'seed')} "
            f"(80 % upper limit {number(measured.cautious_sd, 5)}) {measured.unit}"
        )
        for source, variance, low, high in measured.components:
            limits = f"[{number(_root(low), 5)}, {number(_root(high), 5)}]"
            lines.append(f"  {source:<12} sd {number(_root(variance), 5)} {limits}")
        if measured.correlation is not None:
            lines.append(
                f"  paired with the planted arm: correlation {number(measured.correlation, 2)}, sd of the difference "
                f"{number(measured.sd_difference, 5)}"
            )
    errs = record.false_positives
    if errs["reason"]:
        lines.append(f"false positives: {errs['reason']}")
    else:
        low, high = errs["disjoint_ci95"]
        lines.append(
            f"false positives at a level of {errs['level']:g}: {errs['positives']} of {errs['splits']} A/A splits of "
            f"{errs['pairs']} pairs ({errs['rate']:.1%}); independent studies would leave [{low:.0%}, {high:.0%}] open"
        )
    lines += pipeline_lines(record.pipeline)
    planted = record.planted
    word = "was found" if planted["found"] else "WAS NOT FOUND"
    lines.append(f"the planted effect {word}: {number(planted['mean_difference'])} ({planted['reason']})")
    return "\n".join(lines)


def pipeline_lines(errs: Mapping[str, Any]) -> list[str]:
    """What the whole pipeline said of A/A studies, and how little few seeds can show of that."""
    if not errs:
        return []
    (low, high), (least, most) = errs["wilson95"], errs["disjoint_wilson95"]
    studies, words = errs["studies"], errs["words"]
    lines = [
        f"the whole pipeline, to the verdict: better or worse in {errs['wrong']} of {studies} A/A studies of "
        f"{errs['pairs']} pairs ({errs['rate']:.1%}, Wilson 95 % [{low:.1%}, {high:.1%}]), "
        f"equivalent in {words['equivalent'] / studies:.1%}",
        f"  these share their runs; without that there are {errs['disjoint']}, which would leave "
        f"[{least:.0%}, {most:.0%}] open",
    ]
    if errs["pairs"] < FEWEST_PAIRS:
        lines.append(
            f"  {errs['pairs']} pairs have {studies} splits, too few to tell a rate of {ALPHA:g} from none or from "
            f"twice that; {2 * FEWEST_PAIRS} seeds have {number_of_splits(2 * FEWEST_PAIRS, FEWEST_PAIRS)}"
        )
    return lines


def _root(variance: float | None) -> float | None:
    return None if variance is None else max(0.0, variance) ** 0.5


CALIBRATED = tuple(name for name in SCORES if name == PRIMARY or name == "bits_per_byte")
"""Scores whose noise is kept."""
