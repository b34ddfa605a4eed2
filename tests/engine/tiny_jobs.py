"""Tiny jobs and what is compared of their runs, for the tests of the engines beside the local one."""

from __future__ import annotations

import functools
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from harness.data.corpus import load_corpus
from harness.data.dataset import prepare
from harness.data.tokenizer import make_tokenizer
from harness.engine.event import Event
from harness.engine.job import Job, data_folder
from harness.engine.local import LocalEngine
from harness.records.store import RunStore
from harness.spec.presets import preset
from harness.spec.recipe import Recipe
from harness.spec.sizes import resize


def tiny_jobs(folder: Path, num_jobs: int, num_steps: int) -> list[Job]:
    """Runs of 1 layer of 16, which differ by their seed, with a store in `folder`; the text is always the same."""
    store, text = folder / "store", folder / "text.txt"
    rng = random.Random(0)
    text.write_text(" ".join(rng.choices(["the", "cat", "sat", "on", "a", "mat", "and", "ran"], k=10_000)))
    corpus = load_corpus(str(text))
    data = prepare(corpus, make_tokenizer("bytes", corpus, data_folder(store)), data_folder(store))
    spec = resize(preset("gpt2"), "1x16", heads=2, seq_len=16).replace(vocab_size=data.vocab_size)
    recipe = Recipe(tokens_per_step=64)
    return [
        Job(spec, recipe, num_steps, 1.0, seed, data.sha256, str(store), "cpu", checkpoint_seconds=0.2)
        for seed in range(num_jobs)
    ]


def bits(jobs: Sequence[Job]) -> list[tuple[str, str, str]]:
    """(status, SHA-256 of the weights, SHA-256 of the loss curve) of each run."""
    found = []
    for job in jobs:
        record = RunStore(job.store).get(job.key)
        assert record is not None, f"seed {job.seed} has no record"
        found.append((record.status, record.weights_sha256, record.curve_sha256))
    return found


@functools.cache
def local_bits(num_jobs: int, num_steps: int) -> list[tuple[str, str, str]]:
    """What the local engine makes of the same jobs."""
    with tempfile.TemporaryDirectory() as folder:
        jobs = tiny_jobs(Path(folder), num_jobs, num_steps)
        LocalEngine(2, Path(folder) / "workers.log").run(jobs, lambda event: None)
        return bits(jobs)


def statuses(events: Sequence[Event]) -> dict[int, str]:
    """How each job ended; that it started once before, and ended once, is checked."""
    ends = {}
    started: set[int] = set()
    for event in events:
        if event.kind == "start":
            assert event.job not in started
            started.add(event.job)
        assert event.job in started, "news of a job that has not started"
        assert event.job not in ends, "news of a job that has ended"
        if event.kind == "end":
            ends[event.job] = event.status
    return ends


def first_steps_after(events: Sequence[Event], index: int) -> int:
    """What the first progress of that event's job after event `index` tells: a run that starts anew says 50."""
    job = events[index].job
    return next(event.step for event in events[index:] if (event.job, event.kind) == (job, "progress"))


def wait_for_checkpoint(job: Job) -> None:
    """Return when the run has a checkpoint."""
    folder, deadline = RunStore(job.store).folder(job.key), time.monotonic() + 600
    while not list(folder.glob("checkpoints/step-*")):
        assert time.monotonic() < deadline, "no checkpoint was written"
        time.sleep(0.02)
