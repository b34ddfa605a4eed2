"""What --score, --tasks and --limit ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.engine.choose_scores import DIAGNOSTIC, MEASUREMENTS, choose_scores
from harness.engine.measurements import MEASURERS
from harness.engine.scorers import SCORERS
from harness.engine.scoring import ScoreRequest
from variants.errors import UserError


def requests(chosen: str, tasks: str | None = None, limit: int | None = None, data: str = "stdlib") -> list[str]:
    return [request.name for request in choose_scores(chosen, tasks, limit, data).requests]


def test_the_default_set_has_the_cloze_and_the_speed() -> None:
    chosen = choose_scores("default", None, None, "stdlib")
    assert [q.name for q in chosen.requests] == ["position", "lm-eval"]
    assert dict(chosen.requests[1].options) == {"task": "cloze", "limit": None}
    assert chosen.measurements == ("speed",)


def test_words_and_names_add_up_once() -> None:
    assert requests("none") == []
    assert requests("default,extrapolation,position") == ["position", "lm-eval", "extrapolation"]
    everything = choose_scores("all", None, None, "stdlib")
    assert {q.name for q in everything.requests} == set(SCORERS) - set(DIAGNOSTIC.values())
    assert set(everything.measurements) == set(MEASUREMENTS) - {"speed"}, "throughput has the speed in it"
    assert set(MEASUREMENTS) == set(MEASURERS)


def test_tasks_ask_for_lm_eval_one_request_each() -> None:
    chosen = choose_scores("none", "blimp, piqa", 20, "stdlib")
    options = [dict(q.options) for q in chosen.requests]
    assert options == [{"task": "blimp", "limit": 20}, {"task": "piqa", "limit": 20}]
    assert ScoreRequest.from_json(chosen.requests[0].to_json()) == chosen.requests[0]


def test_a_task_file_is_known_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("task: mine")
    (before,) = choose_scores("none", str(path), None, "stdlib").requests
    path.write_text("task: mine  # changed")
    (after,) = choose_scores("none", str(path), None, "stdlib").requests
    assert before != after
    with pytest.raises(UserError, match="cannot be read"):
        choose_scores("none", str(tmp_path / "no.yaml"), None, "stdlib")


def test_bad_names_are_told() -> None:
    with pytest.raises(UserError, match="unknown score 'extrapolatoin'; did you mean 'extrapolation'"):
        choose_scores("extrapolatoin", None, None, "stdlib")
    for corpus, score in DIAGNOSTIC.items():
        assert score in requests("default", data=corpus)
        with pytest.raises(UserError, match=f"made for --data {corpus}"):
            choose_scores(score, None, None, "stdlib")
