"""Made-up scores with known answers, beside the made-up runs of records/example.py. Their details have the shape of
what score/ writes: `PositionLoss`, `Extrapolation`, `LmEvalScores` and `MoEHealth` as JSON.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from harness.records.record import StudyRun
from harness.records.score import ScoreRecord, Value

CONTEXT = 128
"""Training length of the made-up runs, tokens."""

RATIOS = (0.25, 0.5, 1.0, 1.25, 1.5, 2.0, 4.0, 8.0)

Scored = tuple[list[Value], dict[str, Any]]


def example_score(
    run: StudyRun, name: str, values: Sequence[Value] = (), detail: Mapping[str, Any] | None = None, reason: str = ""
) -> ScoreRecord:
    """A score of `run`, failed where a `reason` is given."""
    return ScoreRecord(
        key=f"{name} {run.record.key[:16]}",
        identity={"run": run.record.key, "score": name, "options": {}},
        run=run.record.key,
        name=name,
        status="failed" if reason else "finished",
        reason=reason,
        values=list(values),
        detail=dict(detail or {}),
    )


def scored(runs: Iterable[StudyRun], score: Callable[[StudyRun], Iterable[ScoreRecord]]) -> list[StudyRun]:
    """The runs with what `score` gives for each finished one beside what they have."""
    return [
        dataclasses.replace(run, scores=(*run.scores, *score(run))) if run.record.status == "finished" else run
        for run in runs
    ]


def position_score(run: StudyRun, shift: float = 0.0) -> ScoreRecord:
    """Loss 1.6 + 2 / tokens seen + `shift`, and 0.01 more for each seed; the first position has no text."""
    nats = [1.6 + 2 / (t + 1) + shift + 0.01 * run.seed for t in range(CONTEXT)]
    late = sum(nats[96:]) / 32
    detail = {
        "context": CONTEXT,
        "num_windows": 512,
        "nats": [None, *nats[1:]],
        "standard_error": [None, *[0.05] * (CONTEXT - 1)],
        "unit": "nats per token",
        "direction": "lower",
    }
    value = Value("late_context_loss", "loss in the last 25% of the context", late, "nats per token", "lower")
    return example_score(run, "position", [value], detail)


def extrapolation_score(run: StudyRun, slope: float | None, num_blocks: int = 24) -> ScoreRecord:
    """Past the training length the loss grows by `slope` nats an octave, and by 0.002 more for each seed; None: the
    positions end there. Blocks differ in level and a little in growth, the same on every seed.
    """
    rng = random.Random(0)
    levels = [1.65 + rng.gauss(0, 0.2) for _ in range(num_blocks)]
    wobbles = _centred([rng.gauss(0, 0.01) for _ in range(num_blocks)])
    points = []
    for mode in ("sliding", "non-overlapping"):
        early = 0.0 if mode == "sliding" else 0.1  # the early-token curse, less with each octave
        for ratio in RATIOS:
            octaves = math.log2(ratio)
            grown = -0.03 * octaves if ratio <= 1 else None if slope is None else (slope + 0.002 * run.seed) * octaves
            blocks = (
                []
                if grown is None
                else [
                    CONTEXT * (level + grown + wobble * max(octaves, 0.0) + early * (2 - octaves))
                    for level, wobble in zip(levels, wobbles, strict=True)
                ]
            )
            points.append(_point(ratio, mode, blocks, num_blocks))
    base = {p["mode"]: p["nats_per_token"] for p in points if p["ratio"] == 1.0}
    for point in points:
        here = point["nats_per_token"]
        point["growth"] = None if here is None else here - base[point["mode"]]
        point["growth_standard_error"] = None
    detail = {
        "train_context": CONTEXT,
        "num_targets": CONTEXT * num_blocks,
        "block_tokens": [CONTEXT] * num_blocks,
        "unit": "nats per token",
        "direction": "lower",
        "points": points,
    }
    at2 = next(point for point in points if point["ratio"] == 2.0)
    title = "loss at 2x the training length, against 1x"
    value = Value("growth_2x", title, at2["growth"], "nats per token", "lower", reason=at2["reason"])
    return example_score(run, "extrapolation", [value], detail)


def _point(ratio: float, mode: str, blocks: list[float], num_blocks: int) -> dict[str, Any]:
    return {
        "ratio": ratio,
        "context": round(ratio * CONTEXT),
        "mode": mode,
        "nats_per_token": sum(blocks) / (CONTEXT * num_blocks) if blocks else None,
        "standard_error": 0.04 if blocks else None,
        "block_nats": blocks,
        "reason": "" if blocks else f"position=learned is defined for {CONTEXT} positions",
    }


def _centred(values: list[float]) -> list[float]:
    return [value - sum(values) / len(values) for value in values]


def lm_eval_score(
    run: StudyRun, accuracy: float, task: str = "cloze", num_items: int = 60, num_ties: int = 0
) -> ScoreRecord:
    """Items of which the first `accuracy` + 0.02 for each seed are right, and a word perplexity of exp(3 - accuracy).

    Four choices an item; three items a document. lm-eval's own accuracy counts every tie as right.
    """
    right = round((accuracy + 0.02 * run.seed) * num_items)
    acc = [float(i < right) for i in range(num_items)]
    words = [3 - accuracy + 0.1 * math.sin(i) for i in range(num_items)]
    mean, log = sum(acc) / num_items, sum(words) / num_items
    error = math.sqrt(mean * (1 - mean) / (num_items - 1))
    own = min(1.0, mean + 0.75 * num_ties / num_items)
    metrics = {
        "acc": _metric("acc", mean, error, "share of items", "higher", 0.25, abs(mean - 0.25) > 1.96 * error, own),
        "word_perplexity": _metric(
            "word_perplexity", math.exp(log), 0.5, "per word", "lower", None, None, math.exp(log)
        ),
    }
    items = {
        "ids": [f"{i}:abcdef" for i in range(num_items)],
        "clusters": [str(i // 3) for i in range(num_items)],
        "values": {"acc": acc, "word_perplexity": words},
        "weights": {},
        "loglikelihoods": [[-1.0]] * num_items,
    }
    counts = {"num_items": num_items, "num_ties": num_ties, "num_nan": 0, "num_truncated": 0, "num_split": 0}
    ties = f"{task}: {num_ties} of {num_items} items are ties and count one over the number of choices"
    detail = {
        "tasks": {task: {"task": task, **counts, "metrics": metrics, "items": items}},
        "groups": {},
        "max_length": CONTEXT,
        "limit": None,
        "lm_eval_version": "0.4.13",
        "warnings": [ties] if num_ties else [],
    }
    values = [
        Value(
            f"{task}/{name}", f"{task} {name}", m["value"], m["unit"], m["direction"], m["standard_error"], m["chance"]
        )
        for name, m in metrics.items()
    ]
    values[0] = dataclasses.replace(values[0], informative=metrics["acc"]["informative"])
    return example_score(run, "lm-eval", values, detail)


def _metric(
    name: str,
    value: float,
    error: float,
    unit: str,
    direction: str,
    chance: float | None,
    informative: bool | None,
    own: float,
) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "standard_error": error,
        "chance": chance,
        "lm_eval": own,
        "ci95": [value - 1.96 * error, value + 1.96 * error],
        "unit": unit,
        "direction": direction,
        "informative": informative,
    }


def example_health(
    loads: Sequence[Sequence[int]], capacities: Mapping[float | None, tuple[float, float]]
) -> dict[str, Any]:
    """The health of a mixture with these loads; `capacities` gives drop rate and nats per token by factor."""
    layers = []
    for i, load in enumerate(loads):
        shares = [n / sum(load) for n in load]
        entropy = -sum(p * math.log(p) for p in shares if p) / math.log(len(load))
        layers.append(
            {
                "name": f"layers.{i}.ffn",
                "load": list(load),
                "max_violation": max(shares) * len(load) - 1,
                "load_entropy": entropy,
                "dead_experts": sum(n == 0 for n in load) / len(load),
                "drop_rate": 0.0,
            }
        )
    points = [
        {"capacity": c, "drop_rate": drop, "layer_drop_rates": [drop] * len(loads), "nats_per_token": nats}
        for c, (drop, nats) in capacities.items()
    ]
    return {"layers": layers, "capacity": points, "num_tokens": 65536}


def with_mixture(run: StudyRun, loads: Sequence[Sequence[int]]) -> StudyRun:
    """The run of a mixture with these loads a layer, scored at four capacity factors and at none: half the visits are
    dropped at 0.5, none from 2 on, and each drop costs a nat.
    """
    drops: dict[float | None, float] = {0.5: 0.5, 1.0: 0.1 + 0.01 * run.seed, 1.25: 0.05, 2.0: 0.0, None: 0.0}
    health = example_health(loads, {c: (drop, 1.65 + drop + 0.001 * run.seed) for c, drop in drops.items()})
    record = dataclasses.replace(run.record, moe_health={**health, "capacity": []})
    return dataclasses.replace(run, record=record, scores=(*run.scores, example_score(run, "capacity", (), health)))
