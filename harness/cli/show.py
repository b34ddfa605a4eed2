"""What the commands print: plain text for people, one JSON document for programs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from harness.analyse.calibration import forecast
from harness.analyse.comparison import Comparison, compare
from harness.analyse.comparison import to_json as comparison_json
from harness.analyse.quantities import change
from harness.analyse.regimes import to_json as regime_json
from harness.analyse.regimes import verdicts
from harness.analyse.scores import SCORES, Score, scores_of
from harness.analyse.screening import fresh_seeds
from harness.analyse.sentences import verdict_sentence
from harness.analyse.text import count, interval, number, signed
from harness.analyse.throughput import timings
from harness.analyse.tuning import sensitivities, transfer, tuned_rows, warnings, widened
from harness.records.calibration import CalibrationRecord
from harness.records.record import RegimeRecord, StudyRecord, StudyRun, to_json
from harness.records.sweep import SweepRecord
from harness.reporting.section import Material
from harness.reporting.sections.regimes import rows_of
from variants import registry


def variants_text() -> str:
    """Slots, their variants, the first docstring line of each and the options a user may set."""
    lines = []
    for slot in registry.SLOTS:
        lines.append(slot)
        for name in registry.names(slot):
            lines.append(f"  {slot}={name:<10} {registry.summary(slot, name)}")
            for option, parameter in registry.options(slot, name).items():
                kind = getattr(parameter.annotation, "__name__", str(parameter.annotation).replace("typing.", ""))
                lines.append(f"      {slot}.{option}={parameter.default}  ({kind})")
    return "\n".join(lines)


def plan_text(study: StudyRecord) -> str:
    """The study in a few lines, before anything is trained."""
    baseline, spec = study.arms[0], study.arms[0].spec
    lines = [
        f"{study.baseline} {spec['n_layers']}x{spec['d_model']}, seq_len {spec['seq_len']}, on {study.data['name']} "
        f"({study.data['tokenizer']}, {study.data['train_tokens']:,} training tokens); "
        f"{study.budget:.3g} training FLOPs a run, {len(study.seeds)} paired seeds, equal {study.match}"
    ]
    lines += study.design.get("words", [])
    if screen := study.registration.get("screen"):
        lines.append(f"screen: {count(len(screen), 'seed')} for all arms, the others for those that go on")
    width = max(len(arm.name) for arm in study.arms)
    for arm in study.arms:
        left = "baseline" if arm is baseline else f"mismatch {arm.mismatch:+.3%}"
        lines.append(
            f"  {arm.name:<{width}}  {arm.num_params['total']:>11,} parameters  d_ff {arm.spec['d_ff']:>5}  "
            f"{arm.num_steps:>7,} steps  {arm.training_flops:.4e} FLOPs  {left}"
        )
    lines += [f"  {regime_text(record)}" for record in study.regimes if record.regime != "flops" or record.refused]
    return "\n".join(lines)


def regime_text(record: RegimeRecord) -> str:
    """An arm under a regime in a line of the plan."""
    if record.num_tokens is None or record.mismatch is None:
        return f"{record.name}: {record.refused}"
    return f"{record.name}: d_ff {record.d_ff}, {record.num_tokens:,} tokens, mismatch {record.mismatch:+.3%}"


def forecast_text(
    calibration: CalibrationRecord | None, study: StudyRecord, workers: int, effect: float | None, power: float
) -> str:
    """What the study can see and how long it takes, from a calibration of its scale; where to get one if there is
    none.
    """
    if calibration is None:
        return "the noise at this scale is not known; python -m harness.calibrate with the same flags measures it"
    num_runs, tests = len(study.arms) * len(study.seeds), max(1, len(study.arms) - 1)
    return "\n".join(forecast(calibration, len(fresh_seeds(study)), num_runs, workers, effect, power, tests))


def verdict_text(material: Material, folder: Path, seconds: float) -> str:
    """The verdicts, each with its reason and the scores beside it, and where the report is."""
    study, runs, comparisons = material.study, material.runs, material.comparisons
    lines = [""]
    for comparison in comparisons:
        lines += [verdict_sentence(comparison), f"  {comparison.reason}", *score_lines(material, comparison.arm)]
    for verdict in verdicts(rows_of(material)):
        lines += [verdict.words, f"  {verdict.standings}"]
    if material.tuning is not None:
        found = sensitivities(material.tuning, study.margin)
        rows = tuned_rows(comparisons, material.tuned.comparisons if material.tuned else ())
        lines += [row.words for row in rows] + warnings(material.tuning, found, study.margin)
        rates = ", ".join(f"{s.arm} {s.chosen:.3g}" for s in found if s.chosen is not None)
        lines.append(f"  learning rates, tuned on seeds that are not scored: {rates}")
    if not comparisons and not study.regimes:
        lines.append(f"{study.baseline} is the only arm, so there is nothing to compare")
    for name in (arm.name for arm in study.arms):
        scores = [r.record.scores for r in runs if r.arm == name and r.record.status == "finished"]
        losses = [s["nats_per_byte"] for s in scores if s["nats_per_byte"] is not None]
        if losses:
            lines.append(f"  {name}: validation loss {' '.join(f'{x:.4f}' for x in losses)} nats per byte, by seed")
    reused = sum(run.reused for run in runs)
    broken = sum(run.record.status != "finished" for run in runs)
    lines.append(
        f"{len(runs)} runs, {reused} reused{f', {broken} not finished' if broken else ''}, "
        f"{seconds / 60:.1f} min   report: {folder / 'report.html'}"
    )
    return "\n".join(lines)


def score_lines(material: Material, arm: str) -> list[str]:
    """What an arm scored beside the baseline: one aligned line a score, `cloze acc  0.612 -> 0.610  -0.002 [...]`."""
    scores = [score for name, score in scores_of(material.runs).items() if name not in SCORES]
    compared = [(s, c) for s in scores for c in compare(material.study, material.runs, s.name) if c.arm == arm]
    measured = [_compared(score, c) for score, c in compared if c.num_seeds]
    rows = [row for row in (_speed(material, arm), *measured) if row is not None]
    widths = [max(len(row[i]) for row in rows) for i in range(3)] if rows else []
    return ["  " + "  ".join(f"{cell:<{w}}" for cell, w in zip(row, [*widths, 0], strict=True)) for row in rows]


def _compared(score: Score, c: Comparison) -> tuple[str, str, str, str]:
    levels = " -> ".join(number(mean, score.decimals) for mean in (c.baseline_mean, c.arm_mean))
    difference = f"{signed(c.mean_difference, score.decimals)} {interval(c.ci95, score.decimals)}"
    return score.title, levels, difference, f"{score.unit}, {score.direction} is better"


def _speed(material: Material, arm: str) -> tuple[str, str, str, str] | None:
    """Training tokens/s against the baseline's, timed side by side."""
    measured = material.measurement("throughput")
    if measured is None or measured.status != "finished":
        return None
    training = timings(measured.detail).of("train")
    of_arm = next((row for row in training if row.arm == arm), None)
    if of_arm is None or of_arm.against is None:
        return None
    medians = (row.tokens_per_s.median for row in (training[0], of_arm) if row.tokens_per_s is not None)
    levels = " -> ".join(f"{median:,.0f}" for median in medians)
    return "training speed", levels, f"{change(of_arm.against.percents)}, {of_arm.against.word}", "tokens/s"


def document(material: Material, folder: Path) -> dict[str, Any]:
    """The JSON of `--json`: study, arms, runs with their scores, comparisons, measurements, the noise if known."""
    study = material.study
    return {
        "schema_version": study.schema_version,
        "study": {
            "folder": str(folder),
            "name": study.name,
            "baseline": study.baseline,
            "data": study.data["name"],
            "data_sha256": study.data["sha256"],
            "match": study.match,
            "budget": study.budget,
            "margin": study.margin,
            "seeds": study.seeds,
        },
        "arms": [to_json(arm) for arm in study.arms],
        "runs": [_run(run) for run in material.runs],
        "comparisons": [comparison_json(c) for c in material.comparisons],
        "regimes": _regimes(material),
        "tuning": _tuning(material),
        "measurements": {m.name: to_json(m) for m in material.measurements},
        "calibration": None if material.calibration is None else to_json(material.calibration),
    }


def _regimes(material: Material) -> dict[str, Any] | None:
    """The rows of the table of regimes, the verdict over them, and the timing they rest on; None for one regime."""
    rows = rows_of(material)
    if not rows:
        return None
    return {
        "rows": [regime_json(row) for row in rows],
        "verdicts": [dataclasses.asdict(verdict) for verdict in verdicts(rows)],
        "timing": material.study.timing,
        "runs": [] if material.regimes is None else [_run(run) for run in material.regimes.runs],
    }


def _tuning(material: Material) -> dict[str, Any] | None:
    """Both verdicts of every arm, its learning rates and every trial; None where nothing was tuned."""
    record, tuned = material.tuning, material.tuned
    if record is None:
        return None
    margin = material.study.margin
    found = sensitivities(record, margin)
    return {
        "rows": [
            dataclasses.asdict(row) for row in tuned_rows(material.comparisons, tuned.comparisons if tuned else ())
        ],
        "learning_rates": [{**dataclasses.asdict(s), "edge": s.curve.edge} for s in found],
        "warnings": warnings(record, found, margin),
        "widened": widened(found),
        "transfer": None if (moved := transfer(record)) is None else dataclasses.asdict(moved),
        "trials": [dataclasses.asdict(trial) for trial in record.trials],
        "seeds": record.seeds,
        "runs": [_run(run) for run in tuned.runs] if tuned else [],
    }


def _run(run: StudyRun) -> dict[str, Any]:
    """A run without its raw data, which the study's folder has."""
    return {
        "arm": run.arm,
        "seed": run.seed,
        "status": run.record.status,
        "reason": run.record.reason,
        "scores": {**run.record.scores, **{v.name: v.value for score in run.scores for v in score.values}},
        "failed_scores": {score.name: score.reason for score in run.scores if score.status == "failed"},
        "reused": run.reused,
        "key": run.record.key,
        "weights_sha256": run.record.weights_sha256,
        "curve_sha256": run.record.curve_sha256,
    }


def sweep_text(sweep: SweepRecord, folder: Path) -> str:
    """How a sweep ended, in two lines."""
    states = [trial.state for trial in sweep.trials]
    counted = ", ".join(f"{states.count(s)} {s}" for s in ("complete", "pruned", "failed") if s in states)
    return f"{sweep.note}\n{len(states)} trials ({counted})   report: {folder / 'report.html'}"


def sweep_document(sweep: SweepRecord, folder: Path, confirmation: Material | None) -> dict[str, Any]:
    """The JSON of `harness.sweep --json`: the sweep with its trials, and the study that judged its winner."""
    study = None if confirmation is None else document(confirmation, folder.parent / confirmation.study.name)
    return {"schema_version": sweep.schema_version, "folder": str(folder), "sweep": to_json(sweep), "study": study}
