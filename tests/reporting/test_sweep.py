"""A sweep's report: the front, the importances, the history and the winner, of searches with known answers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import optuna
import pytest

from harness.records.sweep import DimensionRecord, ObjectiveRecord, SweepRecord, TrialRecord, read_sweep, write_sweep
from harness.reporting.figures import search
from harness.reporting.sweep import sweep_page, write_sweep_report
from variants.errors import UserError

LOSS = ObjectiveRecord("bits_per_byte", "minimize")
SPEED = ObjectiveRecord("decode_tokens_per_second", "maximize")


def trial(number: int, lr: float, norm: str, *values: float) -> TrialRecord:
    return TrialRecord(number, "complete", {"lr": lr, "norm": norm}, list(values), "", f"norm={norm}", "ab" * 32, 3.0)


def made(*objectives: ObjectiveRecord, trials: list[TrialRecord], winner: int | None = 0) -> SweepRecord:
    return SweepRecord(
        name="sweep_made-up",
        command=["norm=layer,rms", "--space", "lr=1e-3:1e-2:log"],
        created="2026-11-02T10:00:00Z",
        baseline="gpt2",
        match="flops",
        budget=1e12,
        data={"name": "made up", "sha256": "ab" * 32},
        recipe={"lr": 0.006},
        sampler="tpe",
        pruner="none",
        seed=0,
        objectives=list(objectives),
        dimensions=[
            DimensionRecord("norm", values=["layer", "rms"]),
            DimensionRecord("lr", kind="float", low=1e-3, high=1e-2, log=True),
        ],
        trials=trials,
        winner=winner,
        confirmation="",
        note="made up",
    )


def lr_alone() -> SweepRecord:
    """The learning rate decides and the norm does not."""
    trials = [trial(i, lr, norm, 2 + 100 * lr) for i, (lr, norm) in enumerate(_grid())]
    poor = TrialRecord(99, "pruned", {"lr": 0.01, "norm": "rms"}, [], "", "norm=rms", "cd" * 32, 1.0, [[37.0, 5.0]])
    broken = TrialRecord(100, "failed", {}, [], "the run diverged | at step 3", "", "", 1.0)
    return made(LOSS, trials=[*trials, poor, broken])


def _grid() -> list[tuple[float, str]]:
    return [(1e-3 * (1 + i), norm) for i in range(9) for norm in ("layer", "rms")]


def two_objectives() -> SweepRecord:
    """Trials 0 and 1 are on the front: the one has less loss, the other more speed; trial 2 is worse than both."""
    trials = [trial(0, 2e-3, "rms", 2.0, 100.0), trial(1, 3e-3, "layer", 2.5, 200.0), trial(2, 4e-3, "rms", 2.6, 90.0)]
    return made(LOSS, SPEED, trials=trials)


def test_the_report_has_history_importances_and_every_trial(tmp_path: Path) -> None:
    record = lr_alone()
    report = write_sweep_report(tmp_path, record, None)
    text = (tmp_path / "report.md").read_text()
    assert report.read_text().count("<svg") == 2
    assert {"history-0.svg", "importances-0.svg"} <= {p.name for p in tmp_path.iterdir()}
    assert "front.svg" not in {p.name for p in tmp_path.iterdir()}, "one objective has no front"
    assert "18 complete, 1 pruned, 1 failed" in text
    assert "0 (winner)" in text
    assert "the run diverged" in text


def test_several_objectives_have_a_front(tmp_path: Path) -> None:
    write_sweep_report(tmp_path, two_objectives(), None)
    assert {"front.svg", "history-0.svg", "history-1.svg"} <= {p.name for p in tmp_path.iterdir()}
    assert [t.number for t in search.study_of(two_objectives()).best_trials] == [0, 1]


def test_importances_name_what_decides() -> None:
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(search.study_of(lr_alone()), evaluator=evaluator)
    assert found["lr"] > 0.9


def test_figures_hold_the_trials() -> None:
    """What is drawn is what was recorded: states, rungs and values survive the way back to an optuna study."""
    record = lr_alone()
    study = search.study_of(record)
    assert [t.number for t in study.trials] == list(range(len(record.trials)))
    assert [t.values for t in study.trials[:18]] == [t.values for t in record.trials[:18]]
    assert study.trials[18].intermediate_values == {37: 5.0}
    assert study.best_value == min(t.values[0] for t in record.trials if t.values)


@pytest.mark.parametrize("trials", [[], [trial(0, 2e-3, "rms", 2.0)]], ids=["none", "one"])
def test_too_few_trials_have_no_importances(trials: list[TrialRecord]) -> None:
    record = made(LOSS, trials=trials, winner=None)
    titles = [section.title for section in sweep_page(record, None).sections]
    assert "Parameter importances" not in titles
    assert "Pareto front" not in titles
    assert ("History" in titles) == bool(trials)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_sweep(tmp_path, two_objectives())
    assert read_sweep(tmp_path) == two_objectives()
    assert dataclasses.asdict(read_sweep(tmp_path))["trials"][1]["values"] == [2.5, 200.0]
    with pytest.raises(UserError, match="is no sweep"):
        read_sweep(tmp_path / "elsewhere")
