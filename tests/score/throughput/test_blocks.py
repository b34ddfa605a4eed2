"""Order and timing of blocks, with a clock that is made up."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

from harness.score.throughput.blocks import abba, block_of, time_blocks
from harness.score.throughput.statistics import log_ratio

CPU = torch.device("cpu")


def test_two_arms_are_timed_abba() -> None:
    assert "".join("AB"[i] for i in abba(2, 4)) == "ABBAABBA"
    assert list(abba(3, 2)) == [0, 1, 2, 2, 1, 0]
    assert list(abba(1, 3)) == [0, 0, 0]


def test_blocks_land_with_their_workload() -> None:
    order: list[str] = []

    def workload(name: str, seconds: float):
        def block() -> float:
            order.append(name)
            return seconds

        return block

    assert time_blocks([workload("A", 1.0), workload("B", 2.0)], 3) == [[1.0] * 3, [2.0] * 3]
    assert "".join(order) == "ABBAAB"


def test_a_steady_drift_favours_nobody() -> None:
    now = 0.0

    def block() -> float:
        nonlocal now
        now += 1.0
        return 100.0 + now

    first, other = time_blocks([block, block], 30)
    assert np.mean(np.log(np.array(first) / np.array(other))) == pytest.approx(0.0, abs=1e-4)
    assert abs(log_ratio(first, other).percent[0]) < 0.5


def test_the_collector_is_off_while_timing_and_on_after() -> None:
    seen: list[bool] = []

    def block() -> float:
        seen.append(gc.isenabled())
        return 1.0

    def broken() -> float:
        raise RuntimeError("broken")

    time_blocks([block], 2)
    assert seen == [False, False]
    with pytest.raises(RuntimeError, match="broken"):
        time_blocks([broken], 2)
    assert gc.isenabled()


def test_a_block_warms_up_prepares_and_fills_its_time() -> None:
    calls, prepared, now = 0, 0, 0.0

    def call() -> None:
        nonlocal calls, now
        calls += 1
        now += 0.004

    def prepare() -> None:
        nonlocal prepared, now
        prepared += 1
        now += 1.0  # outside the clock

    block = block_of(call, CPU, prepare=prepare, warm_up=5, block_seconds=0.02, clock=lambda: now)
    assert calls == 6  # 5 to warm up, 1 to size the block
    assert block() == pytest.approx(0.004)
    assert calls == 6 + 5
    assert prepared == 3
