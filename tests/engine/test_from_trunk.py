"""Runs that leave a trunk: what their identity says, and that they are the runs they would have been without one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness.engine.job import Job, execute
from harness.records.store import RunStore
from harness.spec.recipe import Recipe
from harness.train.trunk import points_of
from tests.engine.tiny_jobs import tiny_jobs

WSD = Recipe(tokens_per_step=64, schedule="wsd", warmup_steps=4)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return dataclasses.replace(tiny_jobs(tmp_path, 1, 60)[0], recipe=WSD, from_trunk=True)


def test_the_identity_names_the_trunk_and_the_step(job: Job) -> None:
    assert job.identity["branch"] == {"trunk": job.trunk_key, "step": 48}
    longer = dataclasses.replace(job, num_steps=100)
    assert longer.trunk_key == job.trunk_key
    assert longer.key != job.key
    others = [
        dataclasses.replace(job, seed=1),
        dataclasses.replace(job, recipe=dataclasses.replace(WSD, lr=1e-3)),
        dataclasses.replace(job, recipe=dataclasses.replace(WSD, warmup_steps=5)),
        dataclasses.replace(job, spec=job.spec.replace(d_ff=32)),
    ]
    assert len({job.trunk_key, *(other.trunk_key for other in others)}) == 5
    shorter_decay = dataclasses.replace(job, recipe=dataclasses.replace(WSD, decay=0.5))
    assert shorter_decay.trunk_key == job.trunk_key, "a trunk has no decay"
    assert Job.from_json(job.to_json()) == job
    assert "branch" not in dataclasses.replace(job, from_trunk=False).identity


def test_a_branch_is_the_run_it_would_have_been(job: Job) -> None:
    branch, straight = execute(job), execute(dataclasses.replace(job, from_trunk=False))
    assert branch is not None
    assert straight is not None
    assert branch.key != straight.key
    assert branch.weights_sha256 == straight.weights_sha256
    assert branch.curve_sha256 == straight.curve_sha256
    assert branch.scores == straight.scores
    trunk = RunStore(job.store).folder(job.trunk_key)
    assert [path.name for path in points_of(trunk).iterdir()] == ["step-0000000048"]
    assert RunStore(job.store).get(job.trunk_key) is None, "a trunk is no result"
