"""Made-up records with known answers: what analysis and reporting are tested with, here and by anyone who
writes a report of their own.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence

from harness.records.record import ArmRecord, RunRecord, Status, StudyRecord, StudyRun


def example_study(
    arms: Sequence[str] = ("gpt2", "norm=rms"), seeds: Sequence[int] = (0, 1, 2, 3), margin: float = 0.01
) -> StudyRecord:
    """A study of `arms`, the baseline first."""
    return StudyRecord(
        name="example",
        command=["python", "-m", "harness.ablate", *arms[1:], "--seeds", str(len(seeds))],
        created="2026-11-02T10:00:00Z",
        baseline=arms[0],
        match="flops",
        budget=1e12,
        margin=margin,
        seeds=list(seeds),
        recipe={"lr": 0.006, "tokens_per_step": 512},
        data={"name": "made up", "sha256": "ab" * 32, "tokenizer": "bytes", "vocab_size": 257},
        environment={"python": "3.11", "device": "cpu"},
        arms=[_arm(name, i) for i, name in enumerate(arms)],
    )


def example_run(arm: str, seed: int, value: float | None, status: Status = "finished", reason: str = "") -> StudyRun:
    """A run that scored `value` nats per byte at one byte a token; None for a run without scores."""
    scores: dict[str, float | None] = {}
    if value is not None:
        scores = {"nats_per_token": value, "nats_per_byte": value, "bits_per_byte": value / math.log(2)}
        scores["perplexity"] = math.exp(value) if value < 700 else math.inf
    curve = [[step, step * 1e9, 1.6 + 4 * math.exp(-step / 300)] for step in range(100, 1001, 100)]
    return StudyRun(
        arm=arm,
        seed=seed,
        reused=False,
        record=RunRecord(
            key=hashlib.sha256(f"{arm} {seed}".encode()).hexdigest(),
            identity={"arm": arm, "seed": seed},
            status=status,
            reason=reason,
            scores=scores,
            documents=[[120.5, 80, 80]],
            curve=curve if status == "finished" else curve[:4],
            seconds=24.0,
            created="2026-11-02T10:00:30Z",
        ),
    )


def example_runs(values: Mapping[str, Sequence[float | None]]) -> list[StudyRun]:
    """Runs on seeds 0, 1, ... by arm; None for a run that diverged."""
    return [
        example_run(arm, seed, value)
        if value is not None
        else example_run(arm, seed, None, "diverged", "the loss was not finite at step 400")
        for arm, scores in values.items()
        for seed, value in enumerate(scores)
    ]


def _arm(name: str, i: int) -> ArmRecord:
    params = {"total": 123456 + 96 * i, "active": 123456 + 96 * i, "non_embedding": 100000}
    return ArmRecord(name, {}, params, 6.3e5 + i, 1e12 * (1 + i * 1e-4), 1_590_000, 3105, i * 1e-4)
