"""A hang is told from slow work by the work's own pace; the wall clock has no say."""

from __future__ import annotations

import time

import pytest

from harness.engine.event import Event
from harness.engine.patience import ASLEEP_SECONDS, Patience, Watch
from harness.train.trainer import CHECK_EVERY

PATIENCE = Patience(first=600.0, least=100.0, multiple=30.0, flops_per_second=1e9)


class Clock:
    """Seconds that pass when a test says so, a look at the worker each, as the engine does."""

    def __init__(self, flops_per_step: float = 0.0) -> None:
        self.now = 1000.0
        self.watch = Watch(PATIENCE, flops_per_step, lambda: self.now)

    def silence(self, seconds: float) -> bool:
        """Let time pass; whether that was a hang."""
        end, hung = self.now + seconds, False
        while self.now < end:
            self.now = min(self.now + 1.0, end)
            hung = hung or self.watch.silent_for() is not None
        return hung

    def hear(self, *kinds: str) -> None:
        for kind in kinds:
            self.watch.hear(Event(kind, 0))  # pyright: ignore[reportArgumentType]


def test_the_first_steps_may_take_as_long_as_their_flops_need() -> None:
    assert not Clock().silence(600)
    assert Clock().silence(601)
    assert not Clock(flops_per_step=1e9).silence(600 + CHECK_EVERY)
    assert Clock(flops_per_step=1e9).silence(601 + CHECK_EVERY)


@pytest.mark.parametrize(("pace", "allowed"), [(0.125, 100.0), (5.0, 150.0), (400.0, 12_000.0)])
def test_a_run_is_judged_by_its_own_longest_silence(pace: float, allowed: float) -> None:
    clock = Clock()
    clock.hear("start", "progress")
    assert not clock.silence(pace)
    clock.hear("progress")
    assert not clock.silence(pace / 2)
    clock.hear("progress")  # a shorter silence takes nothing back
    assert not clock.silence(allowed)
    assert clock.silence(1.1)


def test_waiting_and_scoring_tell_nothing_of_the_pace() -> None:
    clock = Clock()
    for _ in range(5):  # another study trains the run for an hour
        clock.hear("waiting")
        assert not clock.silence(500)
    clock.hear("progress")
    assert not clock.silence(500), "one look at the losses is no pace yet"
    clock.hear("scoring")
    assert not clock.silence(600)
    assert clock.silence(1.1)
    clock.hear("progress", "progress", "progress")
    assert not clock.silence(0.125)
    clock.hear("progress")
    assert clock.silence(101), "the silences before the first steps are no pace"


def test_a_study_that_was_asleep_itself_blames_no_worker() -> None:
    clock = Clock()
    clock.now += 10_000.0  # Ctrl-Z, or a paused machine: no look at the worker all the while
    assert clock.watch.silent_for() is None
    assert not clock.silence(600)
    assert clock.silence(1.1)
    busy, silence = Clock(), None
    for _ in range(70):  # looks that come late, but not that late
        busy.now += ASLEEP_SECONDS - 1
        silence = busy.watch.silent_for()
    assert silence is not None


def test_a_jump_of_the_wall_clock_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(PATIENCE, 0.0)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert watch.silent_for() is None
    assert watch.heard == pytest.approx(time.monotonic(), abs=60)
