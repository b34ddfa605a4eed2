"""Stacks in the engine: which jobs are trained together, and that each run keeps its own record and bits."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from harness.engine.event import Event
from harness.engine.job import Job, execute
from harness.engine.local import LocalEngine, _Lane
from harness.engine.stack_job import execute_stack, stacks_of
from harness.records.store import RunStore
from harness.spec.recipe import Recipe
from harness.spec.spec import Choice, Spec
from harness.train.manner import PLAIN, Manner
from tests.engine.tiny_jobs import bits, statuses, tiny_jobs

STEPS = 150


def stacked(jobs: list[Job], rows: int) -> list[Job]:
    return [dataclasses.replace(job, manner=Manner(rows=rows)) for job in jobs]


def test_what_is_trained_together() -> None:
    def job(seed: int, norm: str = "layer", rows: int | None = 2, **changes: object) -> Job:
        spec = Spec(norm=Choice(norm))
        made = Job(spec, Recipe(), 10, 1.0, seed, "0" * 64, "store", "cpu", manner=Manner(rows=rows))
        return dataclasses.replace(made, **changes)  # pyright: ignore

    arms = [job(seed, norm) for seed in range(3) for norm in ("layer", "rms")]
    assert stacks_of(arms) == [(0, 2), (1, 3), (4,), (5,)]
    assert stacks_of([job(0), job(1, num_steps=11), job(2, recipe=Recipe(lr=1.0)), job(3)]) == [(0, 3), (1,), (2,)]
    assert stacks_of([job(seed, rows=None) for seed in range(3)]) == [(0,), (1,), (2,)]
    assert stacks_of([job(0), job(0), job(0, rerun=1)]) == [(0,), (1, 2)]  # a stack never holds one run twice


def test_a_plain_run_has_the_identity_it_had() -> None:
    job = Job(Spec(), Recipe(), 10, 1.0, 0, "0" * 64, "store", "cpu")
    assert "manner" not in job.identity
    manners = [PLAIN, Manner(rows=4), Manner(rows=8), Manner("bf16"), Manner("bf16", 8)]
    others = [dataclasses.replace(job, manner=manner) for manner in manners]
    assert len({other.key for other in others}) == len(manners)
    assert all(Job.from_json(other.to_json()) == other for other in others)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Job], list[tuple[str, str, str]]]:
    """Three runs in a stack of four that nothing disturbed, in this process."""
    jobs = stacked(tiny_jobs(tmp_path_factory.mktemp("whole"), 3, STEPS), 4)
    records = execute_stack(jobs)
    assert [record.status for record in records if record is not None] == ["finished"] * 3
    return jobs, bits(jobs)


def test_each_run_has_its_own_record(whole: tuple[list[Job], list[tuple[str, str, str]]], tmp_path: Path) -> None:
    """Its losses and weights are near those of the run trained by itself."""
    jobs, found = whole
    assert len(set(found)) == len(jobs)
    job = jobs[1]
    store = RunStore(job.store)
    record, single = store.get(job.key), execute(dataclasses.replace(job, manner=PLAIN))
    assert record is not None
    assert single is not None
    assert record.key != single.key
    assert record.identity["manner"]["rows"] == 4
    np.testing.assert_allclose(record.curve, single.curve, rtol=1e-5)
    assert record.scores == pytest.approx(single.scores, rel=1e-4)
    assert load_file(store.folder(job.key) / "weights.safetensors").keys()
    assert not (store.folder(job.key) / "checkpoints").exists()


def test_runs_in_other_company_have_the_same_bits(
    whole: tuple[list[Job], list[tuple[str, str, str]]], tmp_path: Path
) -> None:
    """A study with more seeds, or an engine that hands them out one by one, finds and makes the same runs."""
    jobs = stacked(tiny_jobs(tmp_path, 3, STEPS), 4)
    assert [job.key for job in jobs] == [job.key for job in whole[0]]
    assert execute(jobs[2]) is not None
    told: list[int] = []
    execute_stack(jobs, on_progress=lambda run, step, loss: told.append(run))
    assert set(told) == {0, 1}  # the third had its record
    assert bits(jobs) == whole[1]


def test_a_stack_that_is_stopped_and_one_whose_worker_is_killed(
    whole: tuple[list[Job], list[tuple[str, str, str]]], tmp_path: Path
) -> None:
    jobs = stacked(tiny_jobs(tmp_path, 3, STEPS), 4)
    assert execute_stack(jobs, should_stop=lambda: True) == [None] * 3
    engine, events, killed = LocalEngine(2, tmp_path / "workers.log"), list[Event](), list[int]()

    def on_event(event: Event) -> None:
        events.append(event)
        if event.kind == "progress" and not killed:
            killed.append(event.step)
            kill_worker()

    def kill_worker() -> None:
        for process in (lane.worker for lane in threading.enumerate() if isinstance(lane, _Lane)):
            if process is not None:
                process.kill()

    engine.run(jobs, on_event)
    assert killed
    assert statuses(events) == dict.fromkeys(range(3), "finished")
    assert any("was killed" in event.reason for event in events if event.kind == "note")
    assert bits(jobs) == whole[1]
