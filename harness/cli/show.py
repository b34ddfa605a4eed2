"""What the commands print: plain text for people, one JSON document for programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.analyse.comparison import Comparison
from harness.analyse.comparison import to_json as comparison_json
from harness.analyse.sentences import verdict_sentence
from harness.records.record import StudyRecord, StudyRun, to_json
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
    width = max(len(arm.name) for arm in study.arms)
    for arm in study.arms:
        left = "baseline" if arm is baseline else f"mismatch {arm.mismatch:+.3%}"
        lines.append(
            f"  {arm.name:<{width}}  {arm.num_params['total']:>11,} parameters  d_ff {arm.spec['d_ff']:>5}  "
            f"{arm.num_steps:>7,} steps  {arm.training_flops:.4e} FLOPs  {left}"
        )
    return "\n".join(lines)


def verdict_text(
    study: StudyRecord, runs: Sequence[StudyRun], comparisons: Sequence[Comparison], folder: Path, seconds: float
) -> str:
    """The verdicts, each with its reason, and where the report is."""
    lines = [""]
    for comparison in comparisons:
        lines += [verdict_sentence(comparison), f"  {comparison.reason}"]
    if not comparisons:
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


def document(
    study: StudyRecord, folder: Path, runs: Sequence[StudyRun], comparisons: Sequence[Comparison]
) -> dict[str, Any]:
    """The JSON of `--json`: study, arms, runs, comparisons."""
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
        "runs": [
            {
                "arm": run.arm,
                "seed": run.seed,
                "status": run.record.status,
                "reason": run.record.reason,
                "scores": run.record.scores,
                "reused": run.reused,
                "key": run.record.key,
                "weights_sha256": run.record.weights_sha256,
                "curve_sha256": run.record.curve_sha256,
            }
            for run in runs
        ],
        "comparisons": [comparison_json(c) for c in comparisons],
    }
