"""A run's scores are computed once, kept beside its record, and a score that fails is a record."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.data.corpus import load_corpus
from harness.data.dataset import prepare
from harness.data.tokenizer import make_tokenizer
from harness.engine import scorers
from harness.engine.job import Job, data_folder, execute
from harness.engine.scorers import Scorer
from harness.engine.scoring import ScoreRequest, known_scores, missing_scores, score_run
from harness.records.score import Value
from harness.records.store import RunStore
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec
from harness.train.device import choose_device
from variants.errors import UserError

CPU = torch.device("cpu")
POSITION = ScoreRequest("position")


@pytest.fixture
def job(small_text: Path, tmp_path: Path) -> Job:
    corpus = load_corpus(str(small_text))
    cache = data_folder(tmp_path / "store")
    data = prepare(corpus, make_tokenizer("bytes", corpus, cache), cache)
    spec = Spec(n_layers=1, d_model=16, d_ff=32, seq_len=16, vocab_size=data.vocab_size)
    return Job(spec, Recipe(tokens_per_step=64), 4, 1.0, 0, data.sha256, str(tmp_path / "store"), "cpu")


def test_scores_are_added_later_without_training_again(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    record = execute(job)
    assert record is not None
    store = RunStore(job.store)
    assert known_scores(record, [POSITION], store) == [None]
    monkeypatch.setattr("harness.engine.job.train", lambda *a, **k: pytest.fail("it was trained again"))
    again = execute(dataclasses.replace(job, scores=(POSITION,)))
    assert again == record
    (score,) = known_scores(record, [POSITION], store)
    assert score is not None
    assert score.status == "finished"
    assert score.values[0].name == "late_context_loss"
    assert len(score.detail["nats"]) == job.spec.seq_len
    assert missing_scores(record, [POSITION], store) == []
    same_code = scorers.SCORERS["position"].code
    monkeypatch.setitem(scorers.SCORERS, "position", Scorer(lambda *_: pytest.fail("scored twice"), same_code, ""))
    score_run(record, [POSITION], store, CPU)


def test_jobs_travel_as_json(job: Job) -> None:
    request = ScoreRequest.from_json({"name": "lm-eval", "options": {"task": "cloze", "limit": 3}})
    job = dataclasses.replace(job, scores=(POSITION, request))
    assert Job.from_json(job.to_json()) == job
    assert dataclasses.replace(job, scores=()).key == job.key, "what a run is scored on does not change the run"


@pytest.mark.parametrize("error", [UserError("the split is too short"), RuntimeError("shape")])
def test_a_score_that_fails_is_a_record_and_is_tried_again(
    job: Job, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*_: Any) -> Any:
        raise error

    mine = ScoreRequest("mine")
    monkeypatch.setitem(scorers.SCORERS, "mine", Scorer(broken, ("harness/score/position.py",), ""))
    record = execute(dataclasses.replace(job, scores=(mine, POSITION)))
    assert record is not None
    assert record.status == "finished"
    store = RunStore(job.store)
    failed, position = known_scores(record, [mine, POSITION], store)
    assert failed is not None
    assert failed.status == "failed"
    assert str(error) in failed.reason
    assert position is not None
    assert position.status == "finished"
    monkeypatch.setitem(
        scorers.SCORERS,
        "mine",
        Scorer(lambda *_: ([Value("x", "x", 1.0, "", "lower")], {}), ("harness/score/position.py",), ""),
    )
    score_run(record, [mine], store, choose_device("cpu"))
    (mended,) = known_scores(record, [mine], store)
    assert mended is not None
    assert mended.values[0].value == 1.0


def test_a_stop_leaves_the_scores_it_has(job: Job) -> None:
    answers = iter([False, True])
    record = execute(job)
    assert record is not None
    store = RunStore(job.store)
    both = [POSITION, ScoreRequest("extrapolation")]
    score_run(record, both, store, CPU, should_stop=lambda: next(answers))
    assert missing_scores(record, both, store) == [both[1]]


def test_a_diverged_run_is_not_scored(job: Job) -> None:
    job = dataclasses.replace(job, recipe=Recipe(tokens_per_step=64, lr=1e30), num_steps=60, scores=(POSITION,))
    record = execute(job)
    assert record is not None
    assert record.status == "diverged"
    assert missing_scores(record, job.scores, RunStore(job.store)) == []
