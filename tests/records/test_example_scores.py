"""The made-up scores have the shape of the real ones, and survive a study's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.records.example import example_runs, example_study
from harness.records.example_scores import (
    RATIOS,
    extrapolation_score,
    lm_eval_score,
    position_score,
    scored,
    with_mixture,
)
from harness.records.study import read_study, write_study
from harness.score import extrapolation as real
from harness.score.extrapolation import Extrapolation, LengthPoint
from harness.score.lmeval.scores import Items, LmEvalScores, Metric, TaskScores
from harness.score.moe_health import CapacityPoint, LayerHealth, MoEHealth
from harness.score.position import PositionLoss

RUN = example_runs({"gpt2": [1.65]})[0]


def shape(value: Any) -> Any:
    """Keys all the way down, with the first of a list for all of it; numbers and words are alike."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [shape(inner) for inner in value[:1]]
    return "word" if isinstance(value, str) else "number"


def test_position() -> None:
    made = position_score(RUN).detail
    assert shape(made) == shape(PositionLoss(2, 1, (1.0, 2.0), (0.1, 0.1)).to_json())


def test_extrapolation() -> None:
    made = extrapolation_score(RUN, 0.1).detail
    points = tuple(LengthPoint(r, 1, m, 2.0, 0.1, (256.0,)) for m in real.MODES for r in RATIOS)
    assert shape(made) == shape(Extrapolation(128, 128, (128,), points).to_json())
    assert RATIOS == real.RATIOS
    made = extrapolation_score(RUN, None).detail
    assert [p["growth"] is None for p in made["points"]] == [False, False, False, *[True] * 5] * 2


def test_lm_eval() -> None:
    made = lm_eval_score(RUN, 0.5, num_ties=1).detail
    metrics = {
        n: Metric(n, 0.5, 0.1, (0.3, 0.7), "share", "higher", 0.25, True, 0.5) for n in ("acc", "word_perplexity")
    }
    items = Items(("a",), ("b",), {"acc": (1.0,), "word_perplexity": (1.0,)}, {}, ((-1.0,),))
    whole = LmEvalScores({"cloze": TaskScores("cloze", 1, 1, 0, 0, 0, metrics, items)}, {}, 128, None, "0.4.13")
    assert shape(made) == shape(whole.to_json())
    assert [v.name for v in lm_eval_score(RUN, 0.5).values] == [f"{row}/{m.name}" for row, m in whole.rows()]


def test_health() -> None:
    made = with_mixture(RUN, ([1, 2],)).scores[0].detail
    layer = LayerHealth("layers.0.ffn", (1, 2), 0.1, 0.9, 0.0, 0.0)
    assert shape(made) == shape(MoEHealth((layer,), (CapacityPoint(1.0, 0.1, (0.1,), 2.0),), 128).to_json())


def test_a_folder_keeps_them(tmp_path: Path) -> None:
    runs = scored(
        example_runs({"gpt2": [1.65, 1.66], "norm=rms": [1.65, None]}),
        lambda run: [position_score(run), extrapolation_score(run, None), lm_eval_score(run, 0.5, num_ties=2)],
    )
    runs = [with_mixture(run, ([3, 1], [2, 2])) if run.record.scores else run for run in runs]
    write_study(tmp_path, example_study(seeds=(0, 1)), runs)
    assert read_study(tmp_path)[1] == runs
