"""Whole evaluations: constant, broken and random models, items, and a process left as it was."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import numpy as np
import pytest
import torch

from harness.data.dataset import TokenizedData
from harness.data.tokenizer import ByteTokenizer
from harness.model.transformer import Transformer
from harness.score.lmeval.adapter import HarnessLM
from harness.score.lmeval.run import evaluate
from harness.score.lmeval.scores import LmEvalScores
from variants.errors import UserError

N = 12


def run(model: Transformer, names: str, data: TokenizedData | None = None, limit: int | None = N) -> LmEvalScores:
    return evaluate(model, ByteTokenizer(), data, names.split(","), limit)


def test_a_constant_model_scores_at_chance_on_blimp(
    model: Transformer, blimp: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """lm-eval's argmax gives it 100 %."""

    def equal(self: HarnessLM, requests: list[Any], **kwargs: Any) -> list[tuple[float, bool]]:
        return [(-1.0, False)] * len(requests)

    monkeypatch.setattr(HarnessLM, "_loglikelihood_tokens", equal)
    scores = run(model, blimp)
    for task in scores.tasks.values():
        assert task.metrics["acc"].value == task.metrics["acc"].chance == 0.5
        assert task.metrics["acc"].lm_eval == 1.0
        assert task.metrics["acc"].informative is False
        assert task.num_ties == N


def test_a_model_without_opinion_scores_at_chance_on_the_cloze(constant: Transformer, data: TokenizedData) -> None:
    task = run(constant, "cloze", data).tasks["cloze"]
    assert task.metrics["acc"].value == task.metrics["acc_norm"].value == 0.25
    assert task.num_ties == N
    assert task.metrics["gold_bits_per_byte"].value == pytest.approx(math.log2(257), rel=1e-6)


def test_a_broken_model_scores_zero_and_is_reported(broken: Transformer, blimp: str, data: TokenizedData) -> None:
    scores = run(broken, f"{blimp},cloze,lambada_openai,wikitext", data, limit=2)
    assert scores.tasks["blimp_wh_island"].metrics["acc"].lm_eval == 1.0
    for name, task in scores.tasks.items():
        assert task.num_nan == 2
        for metric in task.metrics.values():
            assert metric.value == (0.0 if "acc" in metric.name else None), name
            assert not metric.informative
    assert len([w for w in scores.warnings() if "not a number" in w]) == len(scores.tasks)
    json.dumps(scores.to_json(), allow_nan=False)


def test_a_random_model_agrees_with_lm_eval_and_knows_nothing(model: Transformer, blimp: str) -> None:
    for task in run(model, blimp).tasks.values():
        assert task.metrics["acc"].value == task.metrics["acc"].lm_eval  # no ties, no NaN
        assert task.num_ties == task.num_nan == 0


def test_the_group_is_the_mean_of_the_paradigms(model: Transformer, blimp: str) -> None:
    scores = run(model, "blimp", limit=1)
    means = [task.metrics["acc"].value for task in scores.tasks.values()]
    group = scores.groups["blimp"].metrics["acc"]
    assert len(means) == 67
    assert group.value == pytest.approx(np.mean([m for m in means if m is not None]))
    assert group.value == pytest.approx(group.lm_eval)
    assert group.chance == 0.5
    assert [name for name, _ in scores.rows()] == ["blimp"]
    assert list(scores.scores) == ["blimp/acc"]


def test_every_offline_task_gives_values_with_errors(model: Transformer, blimp: str, data: TokenizedData) -> None:
    scores = run(model, "lambada_openai,piqa,arc_easy,wikitext,cloze", data, limit=3)
    found = {(name, metric.name) for name, metric in scores.rows()}
    assert found >= {
        ("lambada_openai", "perplexity"), ("lambada_openai", "acc"), ("piqa", "acc"), ("piqa", "acc_norm"),
        ("arc_easy", "acc"), ("arc_easy", "acc_norm"), ("wikitext", "word_perplexity"),
        ("wikitext", "byte_perplexity"), ("wikitext", "bits_per_byte"), ("cloze", "acc"),
    }  # fmt: skip
    for _, metric in scores.rows():
        assert metric.value is not None
        assert metric.standard_error is not None
        if metric.lm_eval is not None:
            assert metric.value == pytest.approx(metric.lm_eval, rel=1e-9)
    assert scores.tasks["arc_easy"].metrics["acc"].chance == pytest.approx(0.25)
    assert scores.tasks["lambada_openai"].num_truncated == 3
    json.dumps(scores.to_json(), allow_nan=False)


def test_items_are_kept(model: Transformer, data: TokenizedData) -> None:
    scores = evaluate(model, ByteTokenizer(), data, limit=N)
    items = scores.tasks["cloze"].items
    assert len(items.ids) == len(set(items.ids)) == N
    assert all(len(row) == 4 for row in items.loglikelihoods)
    assert np.mean(items.values["acc"]) == scores.tasks["cloze"].metrics["acc"].value
    again = evaluate(model, ByteTokenizer(), data, limit=N)
    assert again == scores


def test_the_process_is_left_as_it_was(model: Transformer, data: TokenizedData) -> None:
    model.train()
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index]
    run(model, "cloze", data, limit=1)
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index]
    assert before == after
    assert model.training


def test_a_diverged_model_does_not_stop_the_others(model: Transformer, blimp: str) -> None:
    """exp(800) overflows inside lm-eval."""
    with torch.no_grad():
        model.embedding.weight.mul_(1e4)
    task = run(model, "lambada_openai", limit=2).tasks["lambada_openai"]
    assert task.metrics["perplexity"].value is None
    assert task.num_nan == 0


def test_a_limit_below_one_is_refused(model: Transformer) -> None:
    with pytest.raises(UserError, match="at least 1, got 0"):
        run(model, "cloze", limit=0)


def test_nothing_is_printed(model: Transformer, data: TokenizedData, capfd: pytest.CaptureFixture[str]) -> None:
    run(model, "cloze", data, limit=1)
    assert capfd.readouterr() == ("", "")
