"""A study as pandas DataFrames, for a notebook:

    from harness import load_study

    study = load_study("reports/STUDY")
    study.runs.groupby("arm")["nats_per_byte"].describe()

Numbers are as recorded, not as rounded for the report; what was not measured is NaN. No torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harness.analyse.comparison import Comparison
from harness.analyse.scores import SCORES
from harness.records.record import StudyRecord, StudyRun
from harness.reporting.material import read_material

PARAMETERS = ("total", "active", "non_embedding")


@dataclass(frozen=True)
class Study:
    """A study's tables. Arms are named alike in all of them.

    arms: an arm a row, the baseline first: its parameters, FLOPs, steps, tokens, mismatch.
    runs: a run (arm x seed) a row: status, seconds, and the losses of `harness.analyse.scores.SCORES`.
    scores: a number of a run a row: the losses again, and every value scored beside them.
    comparisons: an arm against another a row, of the primary score: what the verdict rests on. The interval is in
    `ci_low` and `ci_high`.
    """

    record: StudyRecord
    arms: pd.DataFrame
    runs: pd.DataFrame
    scores: pd.DataFrame
    comparisons: pd.DataFrame

    @property
    def name(self) -> str:
        return self.record.name


def read_frames(folder: Path) -> Study:
    """The tables of the study in `folder`, compared anew. Raises as `read_material` does."""
    found = read_material(folder)
    return Study(
        found.study,
        _frame(_ARMS, _arms(found.study)),
        _frame(_RUNS, _runs(found.runs)),
        _frame(_SCORES, _scores(found.runs)),
        _frame(_COMPARISONS, map(_comparison, found.comparisons)),
    )


def _typed(**types: str) -> dict[str, str]:
    """Types by column, from columns by type: `_typed(int64="seed num_steps")`."""
    return {name: kind for kind, names in types.items() for name in names.split()}


_ARMS = _typed(
    object="arm",
    bool="is_baseline",
    float64=f"{' '.join(f'num_params_{name}' for name in PARAMETERS)} training_flops_per_token training_flops mismatch",
    int64="num_tokens num_steps",
)
_RUNS = _typed(
    object="arm status reason created key", int64="seed", bool="reused", float64=f"{' '.join(SCORES)} seconds"
)
_SCORES = _typed(object="arm name title unit direction reason", int64="seed", float64="value standard_error")
_FIELDS = [field.name for field in dataclasses.fields(Comparison) if field.name not in ("ci95", "pairs")]
_WORDS = "arm baseline score unit direction verdict reason correction"
_COUNTS = "num_seeds num_planned"
_COMPARISONS = {
    **dict.fromkeys((*_FIELDS, "ci_low", "ci_high"), "float64"),
    **_typed(object=_WORDS, int64=_COUNTS),
}


def _frame(types: Mapping[str, str], rows: Iterator[dict[str, Any]]) -> pd.DataFrame:
    """A column a key of `types`, of its type also where there are no rows."""
    return pd.DataFrame(list(rows), columns=list(types)).astype(dict(types))


def _arms(study: StudyRecord) -> Iterator[dict[str, Any]]:
    for arm in study.arms:
        row = {name: getattr(arm, name) for name in _ARMS if hasattr(arm, name)}
        params = {f"num_params_{name}": arm.num_params.get(name) for name in PARAMETERS}
        yield {"arm": arm.name, "is_baseline": arm.name == study.baseline, **params, **row}


def _runs(runs: Sequence[StudyRun]) -> Iterator[dict[str, Any]]:
    for run in runs:
        record = {name: getattr(run.record, name) for name in ("status", "reason", "seconds", "created", "key")}
        losses = {name: run.record.scores.get(name) for name in SCORES}
        yield {"arm": run.arm, "seed": run.seed, "reused": run.reused, **record, **losses}


def _scores(runs: Sequence[StudyRun]) -> Iterator[dict[str, Any]]:
    for run in runs:
        key = {"arm": run.arm, "seed": run.seed}
        for name, score in SCORES.items():
            said = {"title": score.title, "unit": score.unit, "direction": score.direction}
            yield {**key, "name": name, "value": run.record.scores.get(name), **said, "reason": run.record.reason}
        for score in run.scores:
            if score.status == "failed":
                yield {**key, "name": score.name, "title": score.name, "reason": score.reason}
            for value in score.values:
                said = {name: getattr(value, name) for name in _SCORES if name not in key}
                yield {**key, **said}


def _comparison(c: Comparison) -> dict[str, Any]:
    low, high = c.ci95 or (None, None)
    return {**{name: getattr(c, name) for name in _FIELDS}, "ci_low": low, "ci_high": high}
