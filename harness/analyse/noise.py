"""What a stored calibration says beside a study's differences: the spread of its runs by source, and the A/A band.

The A/A band: two means of n runs of one arm on different seeds differ by a normal value of variance 2 σ²/n, and with s
from N calibration runs its ratio to s √(2/n) is Student's t of N - 1 degrees of freedom. So the band holds 95 % of A/A
studies, the error of s included: a prediction interval (Hahn and Meeker 1991, Statistical Intervals, chapter 4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

from harness.analyse.documents import document_rows
from harness.analyse.finite import Interval
from harness.analyse.statistics import mean_and_sd
from harness.records.calibration import CalibrationRecord, Noise
from harness.records.record import StudyRecord, StudyRun
from harness.spec.recipe import Recipe
from harness.spec.sizes import DEFAULT_SIZE, SIZES, default_heads
from harness.spec.spec import Spec


@dataclass(frozen=True)
class Band:
    """Means of `num_pairs` runs of the baseline on different seeds lie within ± `half` of each other in 95 % of cases,
    as `num_runs` runs of the calibration tell.
    """

    half: float
    num_pairs: int
    num_runs: int
    created: str  # of the calibration


@dataclass(frozen=True)
class SourceRow:
    """One source of spread: a standard deviation in the score's unit, and its share of a run's variance.

    `ci95` and `share` are None where there is none, as for documents, which every run of a study shares.
    """

    source: str
    sd: float
    ci95: Interval | None
    share: float | None
    counts: str  # of what it was estimated from


def aa_band(record: CalibrationRecord | None, num_pairs: int) -> Band | None:
    """The band of a study of `num_pairs` seeds; None without a calibration, or where its runs have no spread."""
    if record is None or num_pairs < 1:
        return None
    values = record.noise[0].values
    _, sd, n = mean_and_sd(values)
    half = float(stats.t.isf(0.025, n - 1)) * sd * math.sqrt(2 / num_pairs)
    return Band(half, num_pairs, n, record.created) if half > 0 else None


def source_rows(measured: Noise, study: StudyRecord, runs: Sequence[StudyRun]) -> list[SourceRow]:
    """The components of one score, as the calibration has them, then the documents of the study."""
    variances = {source: variance for source, variance, _, _ in measured.components}
    total = variances.get("total")
    rows = [
        SourceRow(
            source,
            _root(variance),
            (_root(low), _root(high)),
            variance / total if total and source != "total" else None,
            _counts(source, measured.counts),
        )
        for source, variance, low, high in measured.components
    ]
    return rows + _documents(study, runs)


def _documents(study: StudyRecord, runs: Sequence[StudyRun]) -> list[SourceRow]:
    """How far the baseline's level would move on other validation documents; no part of the variance over seeds."""
    found = document_rows(study, runs, [study.baseline])
    return [
        SourceRow("validation documents", row.standard_error, None, None, f"{row.num_documents:,} documents")
        for row in found
        if row.standard_error is not None
    ]


def _counts(source: str, counts: dict[str, int]) -> str:
    if not counts:
        return "n/a"  # calibrations of before did not say
    if source == "hardware":
        return f"{counts['again']} seeds run twice"
    return f"{counts['init']} init x {counts['data order']} data seeds"


def calibration_command(study: StudyRecord) -> list[str] | None:
    """The command that measures the noise of a study's scale, defaults left out; None where no flags say its recipe, as
    that of runs which decay from a trunk.
    """
    (baseline,) = (arm for arm in study.arms if arm.name == study.baseline)
    spec, recipe = {**Spec().to_json(), **baseline.spec}, {**Recipe().to_json(), **study.recipe, **baseline.recipe}
    if recipe.get("warmup_steps") is not None:
        return None
    plain, size = Recipe(), (spec["n_layers"], spec["d_model"])
    named = next((name for name, known in SIZES.items() if known == size), f"{size[0]}x{size[1]}")
    flags = {
        "--baseline": (study.baseline, "gpt2"),
        "--size": (named, DEFAULT_SIZE),
        "--heads": (spec["n_heads"], default_heads(spec["d_model"])),
        "--seq-len": (spec["seq_len"], Spec().seq_len),
        "--data": (study.data["name"], "stdlib"),
        "--tokenizer": (study.data["tokenizer"], "bytes"),
        "--steps": (baseline.num_steps, None),
        "--lr": (recipe["lr"], plain.lr),
        "--tokens-per-step": (recipe["tokens_per_step"], plain.tokens_per_step),
        "--schedule": (recipe.get("schedule", plain.schedule), plain.schedule),
    }
    told = [[flag, str(value)] for flag, (value, default) in flags.items() if value != default]
    return ["python", "-m", "harness.calibrate", *(part for pair in told for part in pair)]


def _root(variance: float) -> float:
    return max(0.0, variance) ** 0.5
