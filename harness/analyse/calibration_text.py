"""A calibration as lines for the terminal: the loss in full, every score in a row of one table, then the errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.analyse.calibration import FEWEST_PAIRS
from harness.analyse.comparison import ALPHA
from harness.analyse.false_positives import number_of_splits
from harness.analyse.text import count, number
from harness.records.calibration import CalibrationRecord, Noise

SOURCES = ("init", "data order", "residual", "hardware", "total")

HEAD = ("sd by score", "seeds", "sd", *SOURCES, "correlation", "pairing gain", "sd of difference", "unit")
"""Of a row of every score."""


def calibration_text(record: CalibrationRecord) -> str:
    """The calibration as lines for the terminal."""
    lines = [*_primary_lines(record.noise[0]), *noise_table(record.noise)]
    lines += [f"  not in every run: {name}: {reason}" for name, reason in record.absent.items()]
    lines += [false_positive_line(record.false_positives), *pipeline_lines(record.pipeline)]
    return "\n".join([*lines, planted_line(record.planted)])


def false_positive_line(errs: Mapping[str, Any]) -> str:
    """How often the paired t-test saw a difference where there is none."""
    if errs["reason"]:
        return f"false positives: {errs['reason']}"
    low, high = errs["disjoint_ci95"]
    return (
        f"false positives at a level of {errs['level']:g}: {errs['positives']} of {errs['splits']} A/A splits of "
        f"{errs['pairs']} pairs ({errs['rate']:.1%}); independent studies would leave [{low:.0%}, {high:.0%}] open"
    )


def planted_line(planted: Mapping[str, Any]) -> str:
    """Whether the arm that is worse by construction was called so."""
    word = "was found" if planted["found"] else "WAS NOT FOUND"
    return f"the planted effect {word}: {number(planted['mean_difference'])} ({planted['reason']})"


def _primary_lines(measured: Noise) -> list[str]:
    """The score of the verdict, with its intervals."""
    lines = [
        f"{measured.score}: sd {number(measured.sd, 5)} over {count(len(measured.values), 'seed')} "
        f"(80 % upper limit {number(measured.cautious_sd, 5)}) {measured.unit}"
    ]
    for source, variance, low, high in measured.components:
        limits = f"[{number(_root(low), 5)}, {number(_root(high), 5)}]"
        lines.append(f"  {source:<12} sd {number(_root(variance), 5)} {limits}")
    if measured.correlation is not None:
        lines.append(
            f"  paired with the planted arm: correlation {number(measured.correlation, 2)}, sd of the difference "
            f"{number(measured.sd_difference, 5)}"
        )
    return lines


def noise_table(noise: Sequence[Noise]) -> list[str]:
    """The sd of every score over seeds, its share by source, and what pairing does: aligned lines, N/A a dash."""
    rows = [HEAD, *(noise_row(measured) for measured in noise)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in range(1, len(HEAD) - 1)), row[-1]])
        for row in rows
    ]
    return [*lines, *(f"  {measured.score}: {measured.reason}" for measured in noise if measured.reason)]


def noise_row(measured: Noise) -> tuple[str, ...]:
    """One score under `HEAD`; a dash for what is not known."""
    variances = {source: variance for source, variance, _, _ in measured.components}
    sds = [_root(variances.get(source)) for source in SOURCES]
    numbers = [measured.sd, *sds, measured.correlation, measured.gain, measured.sd_difference]
    cells = ("-" if value is None else f"{value:.2g}" for value in numbers)
    return measured.score, str(len(measured.values)), *cells, measured.unit


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
        f"  these share their runs; {count(errs['disjoint'], 'independent study')} would leave "
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
