"""lm-eval's logged samples of one task -> our numbers: accuracy by `metric.credit`, errors for every metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lm_eval.api.metrics import bits_per_byte, mean, perplexity, weighted_perplexity

from harness.score.lmeval.adapter import HarnessLM
from harness.score.lmeval.metric import (
    UNKNOWN,
    Estimate,
    beats_guessing,
    bootstrap_estimate,
    credit,
    is_tie,
    mean_estimate,
)
from harness.score.lmeval.scores import Items, Metric, TaskScores

ACCURACIES: dict[str, Callable[[str], int]] = {
    "acc": lambda choice: 1,
    "acc_norm": len,  # characters
    "acc_bytes": lambda choice: len(choice.encode()),
}
"""The argmax metrics of lm-eval, and what each divides a choice's log-likelihood by."""

GOLD = "gold_bits_per_byte"
"""Bits per byte of the right answer: moves where accuracy is at chance (definitions, 3.6; Madaan et al. 2024)."""

UNITS = {
    "perplexity": "per continuation",
    "word_perplexity": "per word",
    "byte_perplexity": "per byte",
    "bits_per_byte": "bits per byte",
    GOLD: "bits per byte",
}


@dataclass(frozen=True)
class Column:
    """One metric over the samples: a number each, or what a perplexity divides, with the weights."""

    values: list[float]
    weights: list[float]
    estimate: Estimate


@contextmanager
def guarded(tasks: dict[str, Any]) -> Iterator[None]:
    """lm-eval's exp(-mean) overflows on a diverged model and would lose every other number: infinity instead."""
    originals = {name: task.aggregation for name, task in tasks.items()}
    try:
        for task in tasks.values():
            safe = {metric: _infinite_on_overflow(function) for metric, function in task.aggregation().items()}
            task.aggregation = lambda safe=safe: safe
        yield
    finally:
        for name, task in tasks.items():
            task.aggregation = originals[name]


def _infinite_on_overflow(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def aggregate(items: Any) -> Any:
        try:
            return function(items)
        except OverflowError:
            return math.inf

    return aggregate


def score_task(task: Any, samples: Sequence[dict[str, Any]], result: dict[str, Any], lm: HarnessLM) -> TaskScores:
    """The numbers of one task. With several filters the items are those of the first."""
    filters = list(dict.fromkeys(sample["filter"] for sample in samples))
    metrics: dict[str, Metric] = {}
    columns: dict[str, Column] = {}
    for name in filters:
        chosen = [sample for sample in samples if sample["filter"] == name]
        suffix = "" if name == "none" else f",{name}"
        for metric, column in _columns(task, chosen).items():
            theirs = result.get(f"{metric},{name}")
            metrics[metric + suffix] = _metric(task, metric, metric + suffix, column, chosen, theirs)
            columns[metric + suffix] = column
    first = [sample for sample in samples if sample["filter"] == filters[0]]
    likelihoods = [_loglikelihoods(sample) for sample in first]
    seen = [_requests(sample) for sample in first]
    return TaskScores(
        task=task.task_name,
        num_items=len(first),
        num_ties=sum(is_tie(row) for row in likelihoods if len(row) > 1),
        num_nan=sum(any(math.isnan(x) for x in row) for row in likelihoods),
        num_truncated=sum(not lm.truncated.isdisjoint(requests) for requests in seen),
        num_split=sum(not lm.split.isdisjoint(requests) for requests in seen),
        metrics=metrics,
        items=_items(first, likelihoods, columns),
    )


def _requests(sample: dict[str, Any]) -> list[tuple[str, ...]]:
    """The texts of a sample's requests, as the adapter remembers those that did not fit."""
    return [tuple(part for part in arguments if isinstance(part, str)) for arguments in sample["arguments"]]


def _items(samples: Sequence[dict[str, Any]], rows: Sequence[tuple[float, ...]], columns: dict[str, Column]) -> Items:
    paired = {name: column for name, column in columns.items() if len(column.values) == len(samples)}
    clusters = [sample["doc"].get("cluster") if isinstance(sample["doc"], dict) else None for sample in samples]
    return Items(
        ids=tuple(f"{sample['doc_id']}:{sample['doc_hash'][:12]}" for sample in samples),
        clusters=tuple(map(str, clusters)) if None not in clusters else None,
        values={name: tuple(column.values) for name, column in paired.items()},
        weights={name: tuple(c.weights) for name, c in paired.items() if set(c.weights) != {1.0}},
        loglikelihoods=tuple(rows),
    )


def _columns(task: Any, samples: Sequence[dict[str, Any]]) -> dict[str, Column]:
    """Every metric of the task, the accuracies by our rule, and the gold answer's bits per byte where there is one."""
    chosen = task.OUTPUT_TYPE == "multiple_choice" and not callable(task.config.process_results)
    columns = {}
    for metric in dict.fromkeys(name for sample in samples for name in sample["metrics"]):
        if chosen and metric in ACCURACIES:
            values = [_credit(task, sample, ACCURACIES[metric]) for sample in samples]
            columns[metric] = Column(values, [1.0] * len(values), mean_estimate(values))
        else:
            raw = [sample[metric] for sample in samples if metric in sample]
            columns[metric] = _column(task.aggregation().get(metric, mean), raw)
    if chosen and not task.multiple_input and samples:
        golds = [_golds(task, sample) for sample in samples]
        if all(len(gold) == 1 for gold in golds):
            bits = [_bits_per_byte(sample, min(gold)) for sample, gold in zip(samples, golds, strict=True)]
            columns[GOLD] = Column(bits, [1.0] * len(bits), mean_estimate(bits))
    return columns


def _column(aggregation: Callable[[Any], Any], raw: list[Any]) -> Column:
    """A metric from what lm-eval's process_results gave for each sample, by how it aggregates them."""
    ones = [1.0] * len(raw)
    if aggregation is perplexity:
        values = [-float(x) for x in raw]
        return Column(values, ones, bootstrap_estimate(values, ones, exponential=True))
    if aggregation in (weighted_perplexity, bits_per_byte):
        scale = math.log(2) if aggregation is bits_per_byte else 1.0
        values = [-float(x) / n / scale for x, n in raw]
        weights = [float(n) for _, n in raw]
        return Column(
            values, weights, bootstrap_estimate(values, weights, exponential=aggregation is not bits_per_byte)
        )
    if aggregation is mean and all(isinstance(x, int | float) for x in raw):
        values = [float(x) for x in raw]
        return Column(values, ones, mean_estimate(values))
    return Column([], [], _other(aggregation, raw))


def _other(aggregation: Callable[[Any], Any], raw: list[Any]) -> Estimate:
    """A metric over all samples at once, such as F1: its value as lm-eval has it, its error unknown."""
    try:
        value = float(aggregation(raw))
    except (OverflowError, TypeError, ValueError):
        return UNKNOWN
    return Estimate(value if math.isfinite(value) else None, None, None)


def _metric(
    task: Any, metric: str, name: str, column: Column, samples: Sequence[dict[str, Any]], theirs: Any
) -> Metric:
    higher = task.higher_is_better().get(metric, metric != GOLD)
    chance, guessing = _chance(task, metric, samples)
    estimate = column.estimate
    broken = any(math.isnan(x) for sample in samples for x in _loglikelihoods(sample))
    return Metric(
        name,
        estimate.value,
        estimate.standard_error,
        estimate.ci95,
        UNITS.get(metric, "share of items"),
        "higher" if higher else "lower",
        chance,
        None if chance is None else beats_guessing(estimate, chance, guessing) and not broken,
        float(theirs) if isinstance(theirs, int | float) else None,
    )


def _chance(task: Any, metric: str, samples: Sequence[dict[str, Any]]) -> tuple[float | None, float]:
    """What guessing scores and its standard error; None for metrics without such a level."""
    if task.OUTPUT_TYPE == "loglikelihood" and metric == "acc":
        return 0.0, 0.0  # one word of the whole vocabulary
    if task.OUTPUT_TYPE != "multiple_choice" or metric not in ACCURACIES:
        return None, 0.0
    shares = [len(_golds(task, sample)) / len(task.doc_to_choice(sample["doc"])) for sample in samples]
    variance = sum(share * (1 - share) for share in shares)
    return mean(shares), math.sqrt(variance) / len(shares)


def _credit(task: Any, sample: dict[str, Any], size: Callable[[str], int]) -> float:
    choices = task.doc_to_choice(sample["doc"])
    likelihoods = _loglikelihoods(sample)[: len(choices)]
    scaled = [x / max(1, size(choice)) for x, choice in zip(likelihoods, choices, strict=True)]
    return credit(scaled, _golds(task, sample))


def _golds(task: Any, sample: dict[str, Any]) -> set[int]:
    """Indices of the right choices, which lm-eval writes as an index, several, or the choice's own text."""
    gold = task.doc_to_text(sample["doc"]) if task.multiple_input else sample["target"]
    if isinstance(gold, str):
        choices = task.doc_to_choice(sample["doc"])
        return {choices.index(gold)} if gold in choices else set()
    return set(gold) if isinstance(gold, list) else {gold}


def _bits_per_byte(sample: dict[str, Any], gold: int) -> float:
    continuation = tuple(sample["arguments"][gold])[1]
    return -_loglikelihoods(sample)[gold] / math.log(2) / max(1, len(continuation.encode()))


def _loglikelihoods(sample: dict[str, Any]) -> tuple[float, ...]:
    """The numbers lm-eval was given for a sample: one a choice, one a text, none for generated text."""
    answers = sample["filtered_resps"]
    values = [a[0] if isinstance(a, tuple | list) and a else a for a in answers]
    return tuple(float(x) for x in values if isinstance(x, int | float))
