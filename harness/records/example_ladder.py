"""Made-up ladders with a known law and known multipliers: for tests, here and of an analysis of one's own."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence

from harness.records.example import example_run, example_study
from harness.records.ladder import LadderRecord, Rung, RungRecord, register_ladder
from harness.records.record import StudyRecord, StudyRun
from harness.records.registration import register
from harness.records.score import Measurement

FLOOR, SCALE, ALPHA = 1.2, 0.6, 0.25
BUDGETS = (1e12, 2e12, 4e12, 8e12)

Gain = Callable[[float], float]
"""From a budget to the multiplier there."""


def example_loss(budget: float) -> float:
    """E + A (C / 1e12)^-alpha, in nats per byte."""
    return FLOOR + SCALE * (budget / 1e12) ** -ALPHA


def example_ladder(
    gains: Mapping[str, float | Gain],
    budgets: Sequence[float] = BUDGETS,
    *,
    seeds: int = 4,
    sd: float = 0.003,
    noise: int = 0,
    flops_per_token: Mapping[str, float] | None = None,
    measurements: Sequence[Measurement] = (),
) -> list[Rung]:
    """Rungs at which each arm has the baseline's loss at gain x budget, and every run its own noise.

    Args:
        gains: by arm; the baseline is `gpt2`.
        sd: of a run's noise, in nats per byte, drawn from the generator of seed `noise`.
        flops_per_token: by arm, training; what is not there is the baseline's 1e6.
        measurements: of every rung.
    """
    rng, made = random.Random(noise), []
    functions: dict[str, Gain] = {"gpt2": lambda budget: 1.0}
    functions |= {arm: gain if callable(gain) else lambda c, gain=gain: gain for arm, gain in gains.items()}
    for budget in budgets:
        runs = [
            example_run(arm, seed, example_loss(gain(budget) * budget) + rng.gauss(0, sd))
            for arm, gain in functions.items()
            for seed in range(seeds)
        ]
        study = _study(tuple(functions), budget, seeds, flops_per_token or {})
        made.append(Rung(f"{budget:g}", study, runs, measurements))
    return made


def without(rung: Rung, arm: str, seed: int) -> Rung:
    """A rung at which a run has diverged."""
    lost = example_run(arm, seed, None, "diverged", "the loss was not finite at step 400")
    runs: list[StudyRun] = [lost if (run.arm, run.seed) == (arm, seed) else run for run in rung.runs]
    return dataclasses.replace(rung, runs=runs)


def example_ladder_record(rungs: Sequence[Rung], *, trunk: bool = False) -> LadderRecord:
    """The record that names these rungs."""
    named = [RungRecord(rung.label, rung.study.name, rung.study.registration["sha256"]) for rung in rungs]
    baseline, arms = rungs[0].study.baseline, [arm.name for arm in rungs[0].study.arms[1:]]
    told = register_ladder(baseline=baseline, arms=arms, rungs=named, seeds=rungs[0].study.seeds, trunk=trunk)
    return LadderRecord(
        name="ladder-example",
        command=["python", "-m", "harness.ablate", *arms, "--budgets", ",".join(rung.label for rung in rungs)],
        created="2026-11-02T10:00:00Z",
        kind="budgets",
        rule="budgets as given",
        trunk=trunk,
        baseline=baseline,
        arms=arms,
        rungs=named,
        registration=told,
    )


def branched(rung: Rung, shift: float) -> Rung:
    """A rung whose runs were branches, beside the same runs annealed alone, which lost `shift` nats per byte more."""
    alone = [
        dataclasses.replace(run, record=dataclasses.replace(run.record, scores=_shifted(run, shift)))
        for run in rung.runs
    ]
    wsd = {**rung.study.recipe, "schedule": "wsd", "decay": 0.2, "warmup_steps": 10}
    return dataclasses.replace(rung, study=dataclasses.replace(rung.study, recipe=wsd), separate=(rung.study, alone))


def _shifted(run: StudyRun, shift: float) -> dict[str, float | None]:
    before = run.record.scores.get("nats_per_byte")
    return {**run.record.scores, **({} if before is None else {"nats_per_byte": before + shift})}


def _study(arms: Sequence[str], budget: float, seeds: int, flops_per_token: Mapping[str, float]) -> StudyRecord:
    study, own = example_study(arms, range(seeds)), []
    for arm in study.arms:
        per_token = flops_per_token.get(arm.name, 1e6)
        tokens = round(budget / per_token)
        own.append(
            dataclasses.replace(
                arm,
                training_flops_per_token=per_token,
                training_flops=tokens * per_token,
                num_tokens=tokens,
                num_steps=tokens // 512,
                mismatch=tokens * per_token / budget - 1,
            )
        )
    told = register(baseline=arms[0], arms=arms[1:], match="flops", margin=study.margin, seeds=study.seeds, scores=())
    return dataclasses.replace(study, name=f"example_{budget:g}", budget=budget, arms=own, registration=told)
