"""Scalars read back with TensorBoard's own reader and its own data provider."""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from tensorboard import context
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer

from harness.engine.tensorboard import FILE, LOSS, LOSS_BY_FLOPS, write_scalars
from harness.records.atomic import StoreError
from harness.records.example import example_run, example_runs
from harness.records.record import StudyRun
from harness.records.score import ScoreRecord, Value

BASE = (1.650, 1.655)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def scored(run: StudyRun, values: Sequence[Value]) -> StudyRun:
    record = ScoreRecord("k", {}, run.record.key, "lm-eval", "finished", "", list(values))
    return dataclasses.replace(run, scores=(record,))


def test_the_curve_and_the_scores_come_back(tmp_path: Path) -> None:
    value = Value("cloze/acc", "cloze", 0.375, "share", "higher")
    run = scored(example_run("gpt2", 0, 1.65), [value, dataclasses.replace(value, name="none", value=None)])
    write_scalars(tmp_path, [run])
    found = scalars(tmp_path / "gpt2" / "seed-0")
    curve = run.record.curve
    assert [step for step, _ in found[LOSS]] == [row[0] for row in curve]
    assert [loss for _, loss in found[LOSS]] == pytest.approx([row[2] for row in curve], rel=1e-6)
    assert [step for step, _ in found[LOSS_BY_FLOPS]] == [row[1] / 1e6 for row in curve]
    assert found["validation/nats_per_byte"] == [(1000, pytest.approx(1.65))]
    assert found["scores/cloze/acc"] == [(1000, 0.375)]
    assert "scores/none" not in found


def test_writing_again_doubles_nothing(tmp_path: Path) -> None:
    runs = example_runs({"gpt2": BASE, "norm=rms": BASE})
    write_scalars(tmp_path, runs)
    before = files(tmp_path)
    assert sorted(before) == [f"{arm}/seed-{seed}/{FILE}" for arm in ("gpt2", "norm=rms") for seed in (0, 1)]
    write_scalars(tmp_path, runs)
    assert files(tmp_path) == before
    shorter = dataclasses.replace(runs[0], record=dataclasses.replace(runs[0].record, curve=runs[0].record.curve[:2]))
    write_scalars(tmp_path, [shorter, *runs[1:]])
    assert [step for step, _ in scalars(tmp_path / "gpt2" / "seed-0")[LOSS]] == [100, 200]


def test_a_run_that_did_not_finish_has_its_curve(tmp_path: Path) -> None:
    diverged = example_run("gpt2", 0, None, "diverged")
    holes = [*diverged.record.curve, [500, 5e11, None], [600, 6e11, float("nan")]]
    diverged = dataclasses.replace(diverged, record=dataclasses.replace(diverged.record, curve=holes))
    failed = dataclasses.replace(example_run("gpt2", 1, None, "failed"), record=example_run("x", 1, None).record)
    failed = dataclasses.replace(failed, record=dataclasses.replace(failed.record, curve=[], created=""))
    write_scalars(tmp_path, [diverged, failed])
    found = scalars(tmp_path / "gpt2" / "seed-0")
    assert set(found) == {LOSS, LOSS_BY_FLOPS}
    assert [step for step, _ in found[LOSS]] == [100, 200, 300, 400]
    assert scalars(tmp_path / "gpt2" / "seed-1") == {}


def test_time_goes_from_the_beginning_of_training_to_its_end(tmp_path: Path) -> None:
    write_scalars(tmp_path, [example_run("gpt2", 0, 1.65)])
    events = EventAccumulator(str(tmp_path / "gpt2" / "seed-0"))
    events.Reload()
    times = [event.wall_time for event in events.Scalars(LOSS)]
    assert times[-1] - times[0] == pytest.approx(24.0 * 0.9)
    assert times[-1] == 1793613630.0  # 2026-11-02T10:00:30Z


@pytest.mark.parametrize("name", ["../../outside", "/etc/passwd", "..", "", "a\x00b", "profile", "x" * 300, "中"])
def test_a_name_never_becomes_a_path(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "tensorboard"
    write_scalars(inside, [example_run(name, 0, 1.65), example_run(f"{name} 2", 0, 1.65)])
    assert [p.name for p in tmp_path.iterdir()] == ["tensorboard"]
    arms = sorted(inside.iterdir())
    assert len(arms) == 2
    assert all(len(arm.name) < 80 and arm.name != "profile" for arm in arms)
    assert len(files(inside)) == 2


def test_tensorboards_own_provider_shows_arms_and_seeds_as_runs(tmp_path: Path) -> None:
    write_scalars(tmp_path, example_runs({"gpt2": BASE, "norm=rms": BASE}))
    multiplexer = EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(tmp_path))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(tmp_path))
    listed = provider.list_scalars(context.RequestContext(), experiment_id="", plugin_name="scalars")
    assert set(listed) == {f"{arm}/seed-{seed}" for arm in ("gpt2", "norm=rms") for seed in (0, 1)}
    assert listed["gpt2/seed-1"][LOSS].max_step == 1000


def test_a_full_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = example_runs({"gpt2": BASE})
    write_scalars(tmp_path, runs)
    before = files(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StoreError, match="No space left on device"):
        write_scalars(tmp_path, runs)
    monkeypatch.undo()
    assert {name: content for name, content in files(tmp_path).items() if name in before} == before
