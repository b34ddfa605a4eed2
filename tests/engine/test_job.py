"""A run's job: what is no part of its identity changes none of its bits."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness.engine.job import execute
from harness.model import transformer
from tests.engine.tiny_jobs import bits, tiny_jobs


def test_recomputed_activations_make_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recomputed, kept = [], transformer.checkpoint
    monkeypatch.setattr(transformer, "checkpoint", lambda *args, **how: recomputed.append(1) or kept(*args, **how))
    runs = []
    for again in (False, True):
        folder = tmp_path / str(again)
        folder.mkdir()
        (job,) = tiny_jobs(folder, 1, 60)
        job = dataclasses.replace(job, recompute_activations=again)
        assert execute(job) is not None
        runs.append((job.key, bits([job]), len(recomputed)))
    (key, expected, none), (same, found, count) = runs
    assert (key, expected) == (same, found)
    assert (none, count) == (0, 60 * job.spec.n_layers)
