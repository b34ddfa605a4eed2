"""The noise of the baseline at this scale, from its calibration: its sources, what pairing takes away, and how often
the procedure errs.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from harness.analyse.calibration_text import HEAD, false_positive_line, noise_row, pipeline_lines, planted_line
from harness.analyse.noise import SourceRow, aa_band, calibration_command, source_rows
from harness.analyse.quantities import percent
from harness.analyse.screening import fresh_seeds
from harness.analyse.text import count, number
from harness.records.calibration import CalibrationRecord, Noise
from harness.records.record import StudyRecord
from harness.reporting.cells import NOT_AVAILABLE, between
from harness.reporting.section import Grid, Material, Section

TITLE = "Noise at this scale"


def section(material: Material) -> Section:
    """Tables and sentences, or the sentence that says how to have them."""
    study, record = material.study, material.calibration
    if record is None:
        return Section(TITLE, (_unknown(study),))
    notes = [_band(material, record), _pairing(record.noise[0]), *_errors(record)]
    sources = source_rows(record.noise[0], study, material.runs)
    grids = [_sources(sources, record.noise[0]), _scores(record)]
    return Section(TITLE, tuple(note for note in notes if note), tuple(grid for grid in grids if grid.rows))


def noise_floor(material: Material) -> str:
    """For the captions of the forest plot and of the differences; empty where the noise is not known."""
    band = aa_band(material.calibration, len(fresh_seeds(material.study)))
    if band is None:
        return ""
    return (
        f"A/A noise, ±{number(band.half)}: two means of {count(band.num_pairs, 'run')} of {material.study.baseline} on "
        f"different seeds differ by less in 95 % of studies ({count(band.num_runs, 'run')}, calibrated "
        f"{band.created[:10]}). A paired interval inside it may still leave out zero: what a seed does to both arms is "
        "not in it."
    )


def _unknown(study: StudyRecord) -> str:
    command = calibration_command(study)
    if command is None:
        return "The noise at this scale is not known: harness.calibrate has no flags for a recipe with a trunk."
    return f"The noise at this scale is not known; this measures it: {shlex.join(command)}"


def _band(material: Material, record: CalibrationRecord) -> str:
    """Where it was measured, and how far one run lies from another."""
    measured, other = record.noise[0], _elsewhere(material.study.environment, record.environment)
    floor = noise_floor(material)
    return (
        f"Measured on {record.created[:10]} from {count(len(measured.values), 'seed')} of {material.study.baseline}"
        f"{other}: a run has a standard deviation of {number(measured.sd, 5)} {measured.unit}"
        f". {floor or 'It has no spread, and so no A/A band.'}"
    )


def _elsewhere(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """How the calibration's runs were trained otherwise than the study's; nothing of calibrations that do not say."""
    if not there:
        return ""
    told = ""
    for name, plain, at in (("device", "an unknown device", "on"), ("manner", "fp32", "in")):
        was, now = there.get(name, plain), here.get(name, plain)
        told += f", {at} {was} and not {at} {now} as this study" if was != now else ""
    return told


def _pairing(measured: Noise) -> str:
    if measured.correlation is None:
        return ""
    limits = "" if measured.correlation_ci95 is None else f" {between(_pair(measured.correlation_ci95), 2)}"
    told = (
        f"Paired by seed with an arm trained for fewer steps, runs correlate {number(measured.correlation, 2)}{limits}"
    )
    if measured.gain is None:
        return f"{told}."
    ends = "" if measured.gain_ci95 is None else f" {between(_pair(measured.gain_ci95), 2)}"
    return (
        f"{told}; pairing takes {number(measured.gain, 2)}{ends} of the variance of a difference away, and leaves a "
        f"standard deviation of {number(measured.sd_difference, 5)}. Near zero, it gains nothing."
    )


def _errors(record: CalibrationRecord) -> list[str]:
    lines = [false_positive_line(record.false_positives), *pipeline_lines(record.pipeline)]
    told = ". ".join(line.strip() for line in lines)
    return [f"{told[:1].upper()}{told[1:]}.", f"{planted_line(record.planted).capitalize()}."]


def _sources(rows: Sequence[SourceRow], measured: Noise) -> Grid:
    cells = [
        (
            row.source,
            number(row.sd, 5),
            NOT_AVAILABLE if row.ci95 is None else between(row.ci95, 5),
            NOT_AVAILABLE if row.share is None else percent(row.share, 0),
            row.counts,
        )
        for row in rows
    ]
    note = (
        f"Standard deviations in {measured.unit}. Init and data order: a random-effects analysis of variance over "
        "crossed seeds (Searle, Casella and McCulloch 1992); the residual is their interaction and the machine "
        "together. Hardware: the same seeds run again. Total: a run whose seeds are all drawn anew; shares are of its "
        "variance. So few seeds leave wide intervals. Validation documents are those of this study, the standard error "
        "of the baseline's level: arms share them, so it is no part of a difference's noise over seeds."
    )
    return Grid(("source", "sd", "95 % interval", "share of variance", "from"), cells, note, "Where the spread is from")


def _scores(record: CalibrationRecord) -> Grid:
    lacking = [f"{noise.score}: {noise.reason}." for noise in record.noise if noise.reason]
    lacking += [f"Not in every run: {name} ({reason})." for name, reason in record.absent.items()]
    note = " ".join(["Standard deviations over seeds, by source, and what pairing does to each score.", *lacking])
    return Grid(("score", *HEAD[1:]), [noise_row(noise) for noise in record.noise], note, "Every score")


def _pair(ends: Sequence[float]) -> tuple[float, float]:
    return ends[0], ends[1]
