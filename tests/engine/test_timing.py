"""Training steps timed side by side: real numbers, kept, and found again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from harness.data.corpus import load_corpus
from harness.data.dataset import prepare
from harness.data.tokenizer import make_tokenizer
from harness.engine import timing
from harness.engine.timing import TimedArm, TimingTask, measured, step_timing
from harness.records.timing import timing_path
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec
from variants.errors import UserError


@pytest.fixture
def task(small_text: Path, tmp_path: Path) -> TimingTask:
    corpus = load_corpus(str(small_text))
    data = prepare(corpus, make_tokenizer("bytes", corpus, tmp_path), tmp_path)
    small = Spec(n_layers=1, d_model=16, d_ff=64, seq_len=16, vocab_size=data.vocab_size)
    arms = (TimedArm("gpt2", small), TimedArm("deep", small.replace(n_layers=12)))
    return TimingTask(arms, Recipe(tokens_per_step=64), data, torch.device("cpu"), "eager")


def test_twelve_layers_take_longer_than_one(task: TimingTask) -> None:
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    found = measured(task, task.identity, most_blocks=30)
    first, deep = found.arms
    assert (first.relative, first.relative_ci95) == (1.0, [1.0, 1.0])
    assert deep.relative > 2
    assert deep.relative_ci95[0] <= deep.relative <= deep.relative_ci95[1]
    assert len(deep.blocks) == 30
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_what_was_timed_is_not_timed_again(task: TimingTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "MOST_BLOCKS", 30)
    monkeypatch.setattr(timing, "NUM_BLOCKS", 2)
    monkeypatch.setattr(timing, "PRECISE", 1e9)
    told: list[str] = []
    first = step_timing(task, tmp_path, told.append)
    assert step_timing(task, tmp_path, told.append) == first
    assert told == ["timing a training step of 2 arms"]
    other = dataclasses.replace(task, recipe=Recipe(tokens_per_step=128))
    assert timing_path(tmp_path, other.identity) != timing_path(tmp_path, task.identity)


def test_a_damaged_timing_is_refused(task: TimingTask, tmp_path: Path) -> None:
    path = timing_path(tmp_path, task.identity)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"schema_version": 1, "arms": []}))
    with pytest.raises(UserError, match="does not match its own sha256"):
        step_timing(task, tmp_path, print)
