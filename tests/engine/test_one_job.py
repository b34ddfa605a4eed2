"""An errand away from the study: the place is checked first, failures are records, a holder that is gone is noticed."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from harness.engine import one_job
from harness.engine.errand import Errand, ErrandFolder, errands_of, marked
from harness.engine.event import Event
from harness.engine.job import Job
from harness.engine.one_job import AbandonedRunError, Holder, Reporter, perform
from harness.engine.roster import Roster
from harness.records.store import RunStore, StoreError
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec
from variants.errors import UserError


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(Spec(), Recipe(tokens_per_step=64), 100, 1.0, 0, "0" * 64, str(tmp_path / "store"), "cpu")


def done(errand: Errand) -> Event:
    return perform(errand, lambda event: None, lambda: False)


def test_an_errand_travels_as_text(job: Job) -> None:
    with marked(job.store) as mark:
        (errand,) = errands_of([job], mark)
        assert Errand.from_text(errand.to_text()) == errand
        assert errand.identity == job.identity


def test_a_store_that_is_not_shared(job: Job) -> None:
    with marked(job.store) as mark:
        (errand,) = errands_of([job], mark)
    event = done(errand)
    assert event.status == "refused"
    assert "is not the same folder" in event.reason
    assert RunStore(job.store).get(job.key) is None


@pytest.mark.parametrize(("name", "value"), [("torch", "1.0"), ("code", "0" * 64), ("device", "cpu NEON")])
def test_another_installation(job: Job, name: str, value: str) -> None:
    with marked(job.store) as mark:
        (errand,) = errands_of([job], mark)
        event = done(dataclasses.replace(errand, identity={**errand.identity, name: value}))
    assert event.status == "refused"
    assert f"its {name} is" in event.reason


def test_a_run_that_raises_is_a_record(job: Job) -> None:
    with marked(job.store) as mark:  # there is no such data in the store
        event = done(*errands_of([job], mark))
    record = RunStore(job.store).get(job.key)
    assert record is not None
    assert (event.kind, event.status, event.reason) == ("end", record.status, record.reason)
    assert record.status == "failed"


def test_a_disk_that_refuses_is_the_studys(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **more: object) -> None:
        raise StoreError("No space left")

    monkeypatch.setattr(one_job, "execute", refuse)
    with marked(job.store) as mark:
        assert done(*errands_of([job], mark)).kind == "broken"


def test_a_holder_without_a_sign_of_life(tmp_path: Path) -> None:
    now = [0.0]
    holder = Holder(tmp_path, 10.0, clock=lambda: now[0])
    holder.look()
    (tmp_path / "step-1").mkdir()
    for seconds, modified in ((9.0, 2e9), (18.0, 1e9)):  # something was written, and the clock was put back
        os.utime(tmp_path / "step-1", (seconds, modified))
        now[0] = seconds
        holder.look()
    now[0] = 28.0
    holder.look()
    now[0] = 28.5
    with pytest.raises(AbandonedRunError, match=r"run\.lock is held and nothing was written"):
        holder.look()


def test_a_reporter_speaks_once_a_second_and_at_every_change() -> None:
    said: list[Event] = []
    reporter = Reporter(lambda event: bool(said.append(event)), Event("start", 0))
    for step in range(50, 1000, 50):
        reporter.tell(Event("progress", 0, step=step))
    reporter.tell(Event("scoring", 0))
    assert [event.kind for event in said] == ["start", "progress", "scoring"]
    assert said[1].step == 50


def test_a_reporter_learns_of_a_stop() -> None:
    reporter = Reporter(lambda event: event.kind == "progress", Event("start", 0))
    assert not reporter.should_stop()
    reporter.tell(Event("progress", 0))
    assert reporter.should_stop()


def test_the_folder_hands_on_whole_lines(tmp_path: Path) -> None:
    folder = ErrandFolder(tmp_path)
    folder.create([])
    assert not folder.tell(Event("progress", 3, step=50, loss=2.5))
    with (tmp_path / "3.events").open("a") as file:
        file.write('{"event": "prog')
    events, offset = folder.told(3, 0)
    assert events == [Event("progress", 3, step=50, loss=2.5)]
    with (tmp_path / "3.events").open("a") as file:
        file.write('ress"}\n')
    assert [event.kind for event in folder.told(3, offset)[0]] == ["progress"]
    folder.say("stop")
    assert folder.stopping()


def test_a_job_lost_without_a_step_forward_fails_at_the_third_time(job: Job) -> None:
    events: list[Event] = []
    roster = Roster([job], events.append)
    roster.waiting.clear()
    for step in (0, 50, 50, 50):  # lost at its start, then after a step forward, and twice more without
        roster.hear(Event("progress", 0, step=step))
        roster.lost(0, "its node was lost")
    assert list(roster.waiting) == [0, 0, 0]
    assert [event.kind for event in events if event.kind != "progress"] == ["start", "note", "note", "note", "end"]
    assert events[-1].status == "failed"
    assert roster.failed == {0}


def test_a_roster_tells_of_one_start_and_one_end(job: Job) -> None:
    events: list[Event] = []
    roster = Roster([job], events.append)
    for event in (Event("progress", 0), Event("start", 0), Event("end", 0, status="finished"), Event("progress", 0)):
        roster.hear(event)
    assert [event.kind for event in events] == ["start", "progress", "end"]
    with pytest.raises(UserError, match="other bits"):
        roster.hear(Event("end", 0, status="refused", reason="other bits"))
    with pytest.raises(StoreError):
        roster.hear(Event("broken", 0))
