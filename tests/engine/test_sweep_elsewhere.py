"""A sweep's trials on another engine: its record is the trial's, pruning stops it there, a lost place stops all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.engine.event import Event
from harness.engine.job import Job, failed
from harness.engine.sweep_elsewhere import elsewhere
from harness.records.store import RunStore, StoreError
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec
from harness.sweep import main
from variants.errors import UserError


class Cluster:
    """An engine that tells of four steps and leaves a record; `left` says that a run was told to checkpoint."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.left = error, False

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> None:
        if self.error is not None:
            raise self.error
        (job,) = jobs
        try:
            on_event(Event("start", 0))
            for step in range(1, 5):
                on_event(Event("progress", 0, step=step, loss=1.0 / step))
        except BaseException:
            self.left = True
            raise
        RunStore(job.store).put(failed(job, "for a test"))
        on_event(Event("end", 0, status="failed"))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(Spec(), Recipe(tokens_per_step=64), 100, 1.0, 0, "0" * 64, str(tmp_path / "store"), "cpu")


def test_the_trial_gets_the_losses_and_the_record(job: Job) -> None:
    told: list[tuple[int, float]] = []
    record = elsewhere(Cluster())(job, on_progress=lambda *what: told.append(what), should_stop=lambda: False)
    assert told == [(1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.25)]
    assert record == RunStore(job.store).get(job.key)
    assert record is not None


def test_a_trial_that_is_pruned_leaves_the_cluster(job: Job) -> None:
    told: list[int] = []
    cluster = Cluster()
    record = elsewhere(cluster)(job, on_progress=lambda step, _: told.append(step), should_stop=lambda: len(told) == 2)
    assert (record, told, cluster.left) == (None, [1, 2], True)


def test_a_place_that_can_run_nothing_ends_the_sweep_and_fails_no_trial(job: Job) -> None:
    run = elsewhere(Cluster(UserError("no cluster answers")))
    with pytest.raises(StoreError, match="no cluster answers"):
        run(job, on_progress=lambda *_: None, should_stop=lambda: False)
    assert RunStore(job.store).get(job.key) is None


def test_the_command_hands_its_trials_to_the_engine(
    small_text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is no cluster, so no trial can run; on this machine all would."""
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
    size = "--size 1x16 --heads 2 --seq-len 16 --tokens-per-step 64 --steps 10 --seeds 2 --workers 1 --device cpu"
    where = ["--data", str(small_text), "--out", str(tmp_path / "out")]
    engine = ["--engine", "ray", "--address", "127.0.0.2:1"]
    assert main(["norm=layer,rms", "--trials", "2", *size.split(), *where, *engine]) == 1
    printed = capsys.readouterr().err
    assert "no Ray cluster answers at 127.0.0.2:1" in printed
    assert "Traceback" not in printed
    assert not list(tmp_path.glob("out/store/runs/*/*/record.json"))
