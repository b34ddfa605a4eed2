"""Time a training step of every arm before anything is planned by wall clock: whole steps as the trainer runs them,
batch included, on this device with one thread, the arms interleaved.

Experts are chosen by routers that have only seen the steps of the timing; where trained routing is less even, a
mixture's steps take longer than this says (definitions 3.9).
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness.data.batches import Batches
from harness.data.dataset import TokenizedData
from harness.engine.identity import ROOT, code_digest, files_digest
from harness.model.transformer import Transformer
from harness.records.timing import ArmTiming, TimingRecord, read_timing, write_timing
from harness.score.throughput.blocks import block_of, time_blocks
from harness.score.throughput.ceilings import device_name
from harness.score.throughput.statistics import log_ratio
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec
from harness.train.compile import StepKind, step_class
from harness.train.device import prepare_process
from harness.train.optimizer import make_optimizer
from harness.train.trainer import make_step

NUM_BLOCKS = 30
"""Timed blocks of each arm before the ratios are looked at; definitions 3.9 asks for at least as many."""

MOST_BLOCKS = 300
"""Where the machine is not quiet, timing goes on up to here. Assumption: 6 s an arm."""

PRECISE = 0.01
"""Half-width of a ratio's interval at which timing ends: twice the tolerance of a match; 1 % of the tokens moves a loss
by less than any margin."""

HORIZON = 10**6
"""Steps of the schedule, more than are ever timed: the learning rate stays small and defined."""

CODE = ("harness/engine/timing.py", "harness/score/throughput/blocks.py", "harness/score/throughput/statistics.py")


@dataclass(frozen=True)
class TimedArm:
    """A matched width with the name of its arm."""

    name: str
    spec: Spec


@dataclass(frozen=True)
class TimingTask:
    """What is timed: the baseline first."""

    arms: Sequence[TimedArm]
    recipe: Recipe
    data: TokenizedData
    device: torch.device
    step: StepKind

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides how long a step takes, as far as it is known."""
        return {
            "arms": [[arm.name, arm.spec.to_json(), code_digest(arm.spec)] for arm in self.arms],
            "tokens_per_step": self.recipe.tokens_per_step,
            "data": self.data.sha256,
            "device": device_name(self.device),
            "step": step_class(self.step, self.device.type),
            "torch": torch.__version__,
            "code": files_digest(ROOT / file for file in CODE),
        }


def step_timing(task: TimingTask, store: Path, say: Callable[[str], None]) -> TimingRecord:
    """The timing of the arms: the store's, or measured now and kept there.

    Raises:
        UserError: the store's is damaged.
        StoreError: the disk refuses.
    """
    identity = task.identity
    known = read_timing(store, identity)
    if known is None:
        say(f"timing a training step of {len(task.arms)} arms")
        known = measured(task, identity)
        write_timing(store, known)
    return known


def measured(task: TimingTask, identity: dict[str, Any], *, most_blocks: int = MOST_BLOCKS) -> TimingRecord:
    """Time the arms now, until their ratios to the first are `PRECISE` or `most_blocks` are done."""
    seconds: list[list[float]] = [[] for _ in task.arms]
    timings: list[ArmTiming] = []
    with _as_a_worker(task.device):
        blocks = [block_of(_step(task, arm.spec), task.device) for arm in task.arms]
        while len(seconds[0]) < most_blocks and not (timings and all(_precise(timing) for timing in timings)):
            for known, new in zip(seconds, time_blocks(blocks, NUM_BLOCKS), strict=True):
                known += new
            timings = [_timing(arm.name, seconds[0], s) for arm, s in zip(task.arms, seconds, strict=True)]
    return TimingRecord(
        identity=identity,
        device=device_name(task.device),
        arms=timings,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _precise(timing: ArmTiming) -> bool:
    low, high = timing.relative_ci95
    return (high - low) / 2 <= PRECISE * timing.relative


def _step(task: TimingTask, spec: Spec) -> Callable[[], object]:
    """One more training step of a new model at each call."""
    model = Transformer(spec, seed=0).to(task.device)
    model.train()
    sequences = task.recipe.tokens_per_step // spec.seq_len
    batches = Batches(task.data.train, spec.seq_len, sequences, 0, device=task.device)
    step = make_step(task.step, model, make_optimizer(model, task.recipe), batches, task.recipe, HORIZON, 0)
    numbers = itertools.count()

    def call() -> object:
        number = next(numbers)
        return step(batches.batch(number), number)

    return call


@contextlib.contextmanager
def _as_a_worker(device: torch.device) -> Iterator[None]:
    """With the threads and the deterministic kernels of a process that trains; then as it was, but for freed memory."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    prepare_process(device)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict, warn_only=warns)


def _timing(name: str, first: Sequence[float], seconds: Sequence[float]) -> ArmTiming:
    ratio = log_ratio(first, seconds)  # of rates, so its inverse is of seconds
    return ArmTiming(
        arm=name,
        seconds=statistics.median(seconds),
        relative=math.exp(-ratio.median),
        relative_ci95=[math.exp(-ratio.ci95[1]), math.exp(-ratio.ci95[0])],
        blocks=[float(f"{second:.6g}") for second in seconds],
    )
