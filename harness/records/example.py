"""Made-up records with known answers: what analysis and reporting are tested with, here and by anyone who
writes a report of their own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import random
from collections.abc import Mapping, Sequence

from harness.records.record import ArmRecord, RunRecord, Status, StudyRecord, StudyRun
from harness.records.registration import register
from harness.spec.designs import DesignChoice, make_design
from harness.spec.spec import Choice, Spec


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


def example_design_study(
    *tokens: str,
    kinds: Sequence[str] = ("joint",),
    one_in: int = 1,
    seeds: Sequence[int] = (0, 1, 2, 3),
    family: str = "holm",
    screen: int = 0,
    looks: Sequence[int] = (),
    margin: float = 0.01,
) -> StudyRecord:
    """A study of a design, registered as the command registers it; its arms are named as the command names them."""
    made = make_design(DesignChoice(tuple(kinds), one_in), tokens, "gpt2", Spec())
    study = example_study(("gpt2", *(cell.arm.name for cell in made.cells)), seeds, margin)
    design = made.to_json("gpt2")
    registration = register(
        baseline="gpt2",
        arms=[arm.name for arm in study.arms[1:]],
        match=study.match,
        margin=margin,
        seeds=seeds,
        scores=(),
        looks=looks,
        family=family,
        screen=list(seeds)[:screen],
        design=design,
        cap=math.log(257),
    )
    return dataclasses.replace(study, design=design, registration=registration)


def example_run(arm: str, seed: int, value: float | None, status: Status = "finished", reason: str = "") -> StudyRun:
    """A run that scored `value` nats per byte at one byte a token; None for a run without scores."""
    scores: dict[str, float | None] = {}
    if value is not None:
        scores = {"nats_per_token": value, "nats_per_byte": value, "bits_per_byte": value / math.log(2)}
        scores["perplexity"] = math.exp(value) if value < 700 else math.inf
    curve = [[step, step * 1e9, 1.6 + 4 * math.exp(-step / 300)] for step in range(100, 1001, 100)]
    stability = {
        "judged_steps": 900,
        "loss_spikes": 0,
        "norm_spikes": 1,
        "clipped": 0.25,
        "gradient_norm": [[step, 0.5 + 100 / step, 1.0 + 200 / step] for step in range(100, 1001, 100)],
        "kurtosis": [1.5, 2.25] if status == "finished" else None,
    }
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
            documents=[] if value is None else _documents(arm, seed, value),
            curve=curve if status == "finished" else curve[:4],
            stability=stability,
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


def _documents(arm: str, seed: int, value: float) -> list[list[float]]:
    """Documents of different length and difficulty whose nats over bytes are `value`; arms differ in what is hard."""
    rng = random.Random(arm)
    sizes = [80, 200, 120, 400, 160, 240, 320, 80]
    harder = [0.05, -0.02, 0.03, 0.01, -0.04, 0.02, -0.01, 0.005 * seed]  # nats per byte
    harder = [more + rng.gauss(0, 0.004) for more in harder]
    level = sum(size * more for size, more in zip(sizes, harder, strict=True)) / sum(sizes)
    return [[size * (value + more - level), size, size] for size, more in zip(sizes, harder, strict=True)]


def _arm(name: str, i: int) -> ArmRecord:
    """The baseline's spec with the position variant of the arm's name, learned without one."""
    chosen = [token.removeprefix("position=") for token in name.split() if token.startswith("position=")]
    spec = Spec(position=Choice(chosen[-1] if chosen else "learned")).to_json()
    params = {"total": 123456 + 96 * i, "active": 123456 + 96 * i, "non_embedding": 100000}
    return ArmRecord(name, spec, params, 6.3e5 + i, 1e12 * (1 + i * 1e-4), 1_590_000, 3105, i * 1e-4)
