"""How many runs share a GPU: the rule, and the measured peak it starts from, on a CPU."""

from __future__ import annotations

import dataclasses

import pytest

from harness.engine.job import Job
from harness.engine.packing import CONTEXT_BYTES, MOST_RUNS, VISIBLE, measured_peak, runs_that_fit, seats, seats_of
from harness.engine.packing import visible_gpus as visible
from harness.plan.ledger import count
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec
from harness.train.manner import Manner

GIB = 2**30


@pytest.mark.parametrize(
    ("free", "peak", "runs"),
    [
        (80 * GIB, 100 * GIB, 1),  # it may fail, and says so itself
        (80 * GIB, 30 * GIB, 2),
        (80 * GIB, 35 * GIB, 2),
        (80 * GIB, 36 * GIB, 1),  # two processes of 36.6 GiB do not fit 72
        (80 * GIB, GIB, MOST_RUNS),
        (2 * CONTEXT_BYTES, 0, 1),
    ],
)
def test_as_many_runs_as_fit(free: int, peak: int, runs: int) -> None:
    assert runs_that_fit(free, peak) == runs


def test_workers_take_turns_over_gpus() -> None:
    assert seats(["0", "1"], None, 2) == [{VISIBLE: "0"}, {VISIBLE: "1"}] * 2
    assert seats(["2", "5", "7"], 2, 4) == [{VISIBLE: "2"}, {VISIBLE: "5"}]


def test_a_study_that_sees_some_gpus_hands_out_those() -> None:
    assert visible({}, 2) == ["0", "1"]
    assert visible({VISIBLE: "3, 1"}, 2) == ["3", "1"]
    assert visible({VISIBLE: "GPU-8932"}, 1) == ["GPU-8932"]


SPEC = Spec(n_layers=1, d_model=32, n_heads=2, d_ff=128, seq_len=32, vocab_size=64)
JOB = Job(SPEC, Recipe(tokens_per_step=128), 2, 1.0, 0, "0" * 64, "store", "cpu")


def test_on_a_cpu_workers_need_no_seats() -> None:
    assert seats_of([JOB], 3, "auto") == [{}] * 3


def test_the_peak_of_a_run_and_of_a_stack() -> None:
    """Weights, gradients and two moments are 16 bytes a parameter; four rows take about four times one run."""
    held = 16 * count(JOB.spec).total_params
    single = measured_peak(JOB)
    assert single > held
    assert single < 60 * held  # activations of 128 tokens
    four = measured_peak(dataclasses.replace(JOB, manner=Manner(rows=4)))
    assert 2.5 < four / single < 6
