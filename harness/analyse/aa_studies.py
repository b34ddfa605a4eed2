"""How often does the whole pipeline say a wrong word? A/A studies, made of a baseline's own runs.

The runs are split at random into two arms of pairs (analyse/false_positives.py), and the records of each split go
through `compare` as those of a study do: outcomes, both one-sided tests, the registered family, the verdict. The arms
are one arm, so "better" and "worse" are wrong, and "equivalent" is right.

Two runs of a pair have different seeds, so nothing here is correlated: an A/A study tests the words, and the spread of
paired seeds is measured elsewhere (analyse/calibration.py).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from harness.analyse.comparison import compare
from harness.analyse.false_positives import splits
from harness.analyse.finite import Interval, wilson_interval
from harness.records.record import StudyRecord, StudyRun

MOST_STUDIES = 1000
"""A/A studies that are judged; 3 ms each (measured, one core). The standard error of a rate of 0.05 is then 0.007."""

FEWEST_PAIRS = 2
"""Of a study that gets a verdict at all."""

AGAIN = "the baseline again"


class PipelineErrors(NamedTuple):
    """`wilson95` takes the studies for independent, and they share runs: it says how well the rate over these runs is
    known, and of `disjoint` studies that share none it would be `disjoint_wilson95`, the honest width for other runs.
    """

    pairs: int
    studies: int
    exhaustive: bool  # every split was judged
    words: dict[str, int]  # studies by verdict
    wrong: int  # "better" or "worse"
    rate: float
    wilson95: Interval
    disjoint: int
    disjoint_wilson95: Interval


def pipeline_errors(
    study: StudyRecord, runs: Sequence[StudyRun], *, most: int = MOST_STUDIES, seed: int = 0
) -> PipelineErrors:
    """The words of A/A studies with the margin and the family of `study`.

    Args:
        runs: finished ones of its baseline, one a seed; half of them make a study's pairs.

    Raises:
        ValueError: too few runs for a study of FEWEST_PAIRS pairs.
    """
    pairs = len(runs) // 2
    if pairs < FEWEST_PAIRS:
        raise ValueError(f"an A/A study of {FEWEST_PAIRS} pairs needs {2 * FEWEST_PAIRS} runs, got {len(runs)}")
    chosen, exhaustive = splits(len(runs), pairs, most, seed)
    words: Counter[str] = Counter()
    aa = _aa_study(study, pairs)
    for before, after in chosen:
        (found,) = compare(aa, [*_arm(runs, before, aa.baseline), *_arm(runs, after, AGAIN)], declared=True)
        assert found.verdict is not None
        words[found.verdict] += 1
    studies, wrong, disjoint = words.total(), words["better"] + words["worse"], len(runs) // (2 * pairs)
    rate = wrong / studies
    return PipelineErrors(
        pairs=pairs,
        studies=studies,
        exhaustive=exhaustive,
        words={word: words[word] for word in ("better", "worse", "equivalent", "inconclusive")},
        wrong=wrong,
        rate=rate,
        wilson95=wilson_interval(wrong, studies),
        disjoint=disjoint,
        disjoint_wilson95=wilson_interval(rate * disjoint, disjoint),
    )


def _aa_study(study: StudyRecord, pairs: int) -> StudyRecord:
    """`study` with two arms, both its baseline, on as many seeds as there are pairs; one look, no design."""
    (baseline,) = (arm for arm in study.arms if arm.name == study.baseline)
    arms, seeds = [baseline, dataclasses.replace(baseline, name=AGAIN)], list(range(pairs))
    return dataclasses.replace(study, arms=arms, seeds=seeds, design={})


def _arm(runs: Sequence[StudyRun], chosen: Sequence[int], name: str) -> list[StudyRun]:
    """The chosen runs as an arm on seeds 0, 1, ..."""
    return [dataclasses.replace(runs[i], arm=name, seed=seed) for seed, i in enumerate(chosen)]
