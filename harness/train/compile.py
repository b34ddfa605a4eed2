"""Whether the runs of a study are trained by the compiled step or the eager one: a rule, decided before the first.

The two differ in the last bits, so the choice is part of a run's identity and all arms of a study share it. It
depends on the plan and the machine and not on how many seeds are asked for, so that a later study with more seeds
finds the earlier runs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

StepKind = Literal["eager", "compiled"]

Asked = Literal["auto", "on", "off"]

SAVED_SECONDS = {"cpu": 1.7e-3, "cuda": 11e-3}
"""Seconds that the compiled step saves over the eager one at 2 x 48 with 512 tokens: of CPU time on a loaded AVX-512
Xeon (5.2 ms against 3.5), and on an H100, where a graph spares the launches (12.2 ms against 0.84, in bf16). That a
larger step saves as much in seconds, while less as a share, is an assumption."""

COMPILE_SECONDS = 25.0
"""Wall clock to compile one shape with an empty cache: 15 to 50 measured on that Xeon. From the cache 1 to 3."""

PAYS_BACK = 2.0
"""Savings over costs from which compiling is chosen: the cost doubles on a busy machine, and comes first."""

RUNS_A_WORKER = 4
"""Runs of one shape that a worker takes at least: the 8 default seeds on 2 workers. Where there are as many arms as
workers it stays with one (harness/engine/waiting.py) and takes all 8, which the rule does not count on."""


@dataclass(frozen=True)
class StepChoice:
    """Which step trains, and the sentence that says why."""

    step: StepKind
    reason: str


def choose_step(
    asked: Asked,
    *,
    num_steps: Sequence[int],
    device_type: str,
    compiler: str | None,
    obstacles: Sequence[str],
) -> StepChoice:
    """The step of every run of a study.

    Args:
        num_steps: of one run of each arm.
        compiler: what `find_compiler` says.
        obstacles: of each arm that has one, what `harness.train.compiled.obstacle` says.

    With `on` the step is compiled whatever it saves, unless it cannot be; the caller decides whether that is an error.
    """
    if asked == "off":
        return StepChoice("eager", "--compile off")
    if obstacles:
        return StepChoice("eager", f"an arm cannot be compiled, and all arms share one step: {obstacles[0]}")
    if device_type == "cpu" and compiler is None:
        return StepChoice("eager", "no C++ compiler was found; install g++ or set CXX to train faster")
    if asked == "on":
        return StepChoice("compiled", "--compile on")
    if device_type not in SAVED_SECONDS:
        return StepChoice("eager", f"what compiling saves was not measured on {device_type}; --compile on compiles")
    saved = RUNS_A_WORKER * seconds_saved(min(num_steps), device_type)
    if saved < PAYS_BACK * COMPILE_SECONDS:
        return StepChoice("eager", f"compiling takes {COMPILE_SECONDS:.0f} s and would save a worker {saved:.0f} s")
    return StepChoice("compiled", f"compiling takes {COMPILE_SECONDS:.0f} s and saves a worker about {saved:.0f} s")


def seconds_saved(num_steps: float, device_type: str) -> float:
    """Seconds that the compiled step takes off one run."""
    return SAVED_SECONDS[device_type] * num_steps


@lru_cache(maxsize=8)
def _version(path: str) -> str | None:
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0] if done.returncode == 0 and done.stdout else None


def find_compiler() -> str | None:
    """The first line of `--version` of the C++ compiler that torch would call; None when there is none."""
    name = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    path = shutil.which(name)
    return None if path is None else _version(path)


def step_class(step: StepKind, device_type: str) -> str:
    """What of a step decides the bits: its kind, and on a CPU the compiler that made its kernels."""
    if step == "eager":
        return "eager"
    return f"compiled by {find_compiler()}" if device_type == "cpu" else "compiled"
