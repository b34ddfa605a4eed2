"""What scoring with lm-eval gives: values with their errors and chance levels, and the items they are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Direction = Literal["lower", "higher"]


@dataclass(frozen=True)
class Metric:
    """One number of a task. `chance` is what guessing scores; `informative` whether the 95 % interval excludes it.

    Both are None where there is no such level, as for a perplexity. `lm_eval` is the number lm-eval itself gives.
    """

    name: str
    value: float | None
    standard_error: float | None  # over items, or documents; it holds no variance of seeds
    ci95: tuple[float, float] | None
    unit: str
    direction: Direction
    chance: float | None = None
    informative: bool | None = None
    lm_eval: float | None = None

    def to_json(self) -> dict[str, Any]:
        ci95 = None if self.ci95 is None else [_finite(x) for x in self.ci95]
        numbers = {k: _finite(getattr(self, k)) for k in ("value", "standard_error", "chance", "lm_eval")}
        return {
            "name": self.name,
            **numbers,
            "ci95": ci95,
            "unit": self.unit,
            "direction": self.direction,
            "informative": self.informative,
        }


@dataclass(frozen=True)
class Items:
    """Columns, one entry an item. `values` holds the number of each metric that pairs item by item; for a perplexity
    it is its logarithm, nats a word, byte or token, and `weights` says how many of those the item has.
    """

    ids: tuple[str, ...]  # position in the task and the hash of the document
    clusters: tuple[str, ...] | None  # items of one cluster depend on each other; None: each stands alone
    values: Mapping[str, tuple[float, ...]]
    weights: Mapping[str, tuple[float, ...]]
    loglikelihoods: tuple[tuple[float, ...], ...]  # of the choices, or of the one continuation

    def to_json(self) -> dict[str, Any]:
        return {
            "ids": list(self.ids),
            "clusters": None if self.clusters is None else list(self.clusters),
            "values": {name: [_finite(x) for x in column] for name, column in self.values.items()},
            "weights": {name: list(column) for name, column in self.weights.items()},
            "loglikelihoods": [[_finite(x) for x in row] for row in self.loglikelihoods],
        }


@dataclass(frozen=True)
class TaskScores:
    """A task's numbers, and what stands against trusting them."""

    task: str
    num_items: int
    num_ties: int  # items whose largest log-likelihood two choices share
    num_nan: int  # items with a log-likelihood that is not a number; they count as wrong
    num_truncated: int  # items of which something was cut to fit the model
    num_split: int  # items with a continuation longer than the model, scored in pieces
    metrics: Mapping[str, Metric]
    items: Items

    def to_json(self) -> dict[str, Any]:
        counts = {k: getattr(self, k) for k in ("num_items", "num_ties", "num_nan", "num_truncated", "num_split")}
        return {"task": self.task, **counts, "metrics": _metrics(self.metrics), "items": self.items.to_json()}


@dataclass(frozen=True)
class GroupScores:
    """The mean over a group's tasks; its standard error takes each task as a cluster."""

    group: str
    tasks: tuple[str, ...]
    metrics: Mapping[str, Metric]

    def to_json(self) -> dict[str, Any]:
        return {"group": self.group, "tasks": list(self.tasks), "metrics": _metrics(self.metrics)}


@dataclass(frozen=True)
class LmEvalScores:
    """Everything one call of `evaluate` scored."""

    tasks: Mapping[str, TaskScores]
    groups: Mapping[str, GroupScores]
    max_length: int  # tokens the model could see
    limit: int | None  # items a task, None for all
    lm_eval_version: str

    def rows(self) -> list[tuple[str, Metric]]:
        """Groups, and tasks that are in none, each with its metrics: the lines of a table."""
        inside = {task for group in self.groups.values() for task in group.tasks if group.metrics}
        rows = [(name, m) for name, group in self.groups.items() for m in group.metrics.values()]
        return rows + [(name, m) for name, t in self.tasks.items() if name not in inside for m in t.metrics.values()]

    @property
    def scores(self) -> dict[str, float | None]:
        """Flat values for a run's record, `blimp/acc`."""
        return {f"{name}/{metric.name}": _finite(metric.value) for name, metric in self.rows()}

    def warnings(self) -> list[str]:
        """One sentence for each thing that a reader must know before believing a number."""
        return [sentence for scores in self.tasks.values() for sentence in _warnings(scores, self.max_length)]

    def to_json(self) -> dict[str, Any]:
        return {
            "tasks": {name: scores.to_json() for name, scores in self.tasks.items()},
            "groups": {name: scores.to_json() for name, scores in self.groups.items()},
            "max_length": self.max_length,
            "limit": self.limit,
            "lm_eval_version": self.lm_eval_version,
            "warnings": self.warnings(),
        }


def _warnings(scores: TaskScores, max_length: int) -> list[str]:
    counted = (
        (scores.num_nan, "have a likelihood that is not a number and count as wrong"),
        (scores.num_ties, "are ties and count one over the number of choices"),
        (scores.num_truncated, f"did not fit the model's {max_length} tokens and were cut"),
        (scores.num_split, f"have an answer longer than the model's {max_length} tokens, scored in pieces"),
    )
    return [f"{scores.task}: {n} of {scores.num_items} items {what}" for n, what in counted if n]


def _metrics(metrics: Mapping[str, Metric]) -> dict[str, Any]:
    return {name: metric.to_json() for name, metric in metrics.items()}


def _finite(value: float | None) -> float | None:
    """Six decimals are more than any item's likelihood is good for; what is not finite becomes None."""
    return None if value is None or not math.isfinite(value) else round(value, 6)
