"""The runs that a calibration needs: the baseline on many seeds, its sources of noise apart, and a planted effect.

- seeds 0..N-1 as a study has them: their spread, and how often the procedure errs when it splits them into two arms;
- init seeds crossed with data seeds, 3 by 3: which of the two the spread comes from;
- two runs done again with the same seeds: what the machine adds;
- the baseline trained for fewer steps, on the same seeds: worse by construction, so it must be found.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from harness.engine.study import Task
from harness.plan.match import PlannedArm

CROSSED = 3
"""Init seeds, and data seeds, of the crossed design. Assumption: 9 runs, of which N already has 3."""

RERUNS = 2
"""Runs done again. On a CPU the bits repeat, and two show it; a GPU may need more."""

PLANTED = "planted"
PLANTED_STEPS = 0.75
"""Share of the baseline's steps that the planted arm is trained for."""


def planted_arm(baseline: PlannedArm) -> PlannedArm:
    """The arm that is worse by construction: the baseline, its schedule over 3/4 of the steps."""
    return dataclasses.replace(baseline, name=PLANTED, num_steps=max(1, round(PLANTED_STEPS * baseline.num_steps)))


def source_tasks(first: Task) -> list[Task]:
    """The runs beside the seeds' own that take the noise apart, from the baseline's task of any seed."""
    crossed = [
        Task(f"init {i}, order {j}", i, dataclasses.replace(first.job, seed=i, data_seed=j))
        for i in range(CROSSED)
        for j in range(CROSSED)
        if i != j
    ]
    again = [Task(f"again {s}", s, dataclasses.replace(first.job, seed=s, rerun=1)) for s in range(RERUNS)]
    return [*crossed, *again]


def crossed_values(diagonal: Mapping[int, float], values: Mapping[str, float]) -> list[list[float]] | None:
    """(init seeds, data seeds) of a score, None where a run lacks it; `diagonal` are the seeds' own runs."""
    names = {(i, j): f"init {i}, order {j}" for i in range(CROSSED) for j in range(CROSSED) if i != j}
    found = {(i, i): diagonal[i] for i in range(CROSSED) if i in diagonal}
    found |= {cell: values[name] for cell, name in names.items() if name in values}
    if len(found) < CROSSED**2:
        return None
    return [[found[i, j] for j in range(CROSSED)] for i in range(CROSSED)]


def rerun_values(own: Mapping[int, float], values: Mapping[str, float]) -> list[list[float]]:
    """Pairs of runs with equal seeds, of those that have the score."""
    again = {seed: values.get(f"again {seed}") for seed in range(RERUNS)}
    return [[own[seed], value] for seed, value in again.items() if value is not None and seed in own]
