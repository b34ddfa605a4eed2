"""lm-eval's tasks over seeds: levels, errors over items, and differences over seeds and items at once.

Reads the details of the scores called `lm-eval`, each an `LmEvalScores.to_json()` of one task or group. What lm-eval
calls a standard error holds the sampling of items alone; a claim about an architecture holds for other seeds too, so
the two are told apart here and combined in the last interval (definitions, 3.6).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analyse.comparison import Comparison, compare
from harness.analyse.items import ItemComparison, column, compare_items
from harness.analyse.outcomes import by_arm, outcomes
from harness.analyse.scores import records_of
from harness.analyse.tables import Spread, spread
from harness.records.record import StudyRecord, StudyRun
from variants.errors import UserError

NAME = "lm-eval"

SAME = 1e-5
"""Two numbers of a metric that differ by less are one: records keep six decimals."""

_COUNTED = re.compile(r"^(?P<task>.+): (?P<n>\d+) of (?P<total>\d+) items (?P<what>.+)$", re.DOTALL)
"""A warning of `LmEvalScores.warnings`."""

Detail = Mapping[str, Any]


@dataclass(frozen=True)
class MetricFacts:
    """What a metric of a task is. `at_chance` counts the baseline's runs whose interval over items includes chance."""

    name: str
    unit: str
    direction: str
    chance: float | None
    at_chance: int
    num_baseline: int
    is_logarithm: bool  # its items are logarithms, and differences over them are of the logarithm


@dataclass(frozen=True)
class TaskRow:
    """A metric of an arm. `item_error` is the standard error over items of one run, the root mean square over seeds;
    `own` is lm-eval's own number where it is another. `items` is None for the baseline, or for the `reason`.
    """

    arm: str
    metric: str
    spread: Spread | None
    item_error: float | None
    own: float | None
    seeds: Comparison | None
    items: ItemComparison | None
    reason: str = ""


@dataclass(frozen=True)
class TaskTable:
    """A task or group; rows by metric, then by arm."""

    task: str
    num_items: int
    num_clusters: int
    metrics: list[MetricFacts]
    rows: list[TaskRow]


@dataclass(frozen=True)
class Warned:
    """A warning and the runs that gave it. Counts of items are of the runs with the fewest and the most."""

    task: str
    text: str
    num_runs: int
    num_scored: int  # runs that the task was scored for


def task_tables(study: StudyRecord, runs: Sequence[StudyRun], arms: Sequence[str]) -> list[TaskTable]:
    """One table a task or group, in the order in which they were asked for; rows in the order of `arms`."""
    mine = by_arm(runs)
    details = {arm: _details(mine.get(arm, ()), arm) for arm in arms}
    names: dict[str, dict[str, None]] = {}
    for by_task in details.values():
        for task, by_seed in by_task.items():
            for detail in by_seed.values():
                names.setdefault(task, {}).update(dict.fromkeys(_metrics(detail, task)))
    return [_table(study, runs, details, task, list(metrics)) for task, metrics in names.items()]


def _details(runs: Sequence[StudyRun], arm: str) -> dict[str, dict[int, Detail]]:
    """The detail that has a task or group as a line of its own, by its name and the seed."""
    found: dict[str, dict[int, Detail]] = {}
    for seed, records in records_of(runs, arm, NAME).items():
        for detail in (record.detail for record in records):
            for task in _lines(detail):
                found.setdefault(task, {})[seed] = detail
    return found


def _lines(detail: Detail) -> list[str]:
    """The groups that have a number, and the tasks that are in none: `LmEvalScores.rows`."""
    groups = {name: group for name, group in detail["groups"].items() if group["metrics"]}
    inside = {task for group in groups.values() for task in group["tasks"]}
    return [*groups, *(task for task in detail["tasks"] if task not in inside)]


def _metrics(detail: Detail, task: str) -> dict[str, dict[str, Any]]:
    return (detail["groups"].get(task) or detail["tasks"][task])["metrics"]


def _table(
    study: StudyRecord,
    runs: Sequence[StudyRun],
    details: Mapping[str, Mapping[str, Mapping[int, Detail]]],
    task: str,
    metrics: Sequence[str],
) -> TaskTable:
    mine = {arm: by_task.get(task, {}) for arm, by_task in details.items()}
    baseline = mine[study.baseline]
    one = next(detail for by_seed in mine.values() for detail in by_seed.values())
    num_items, num_clusters = _size(one, task)
    facts, rows, runs_of = [], [], by_arm(runs)
    for metric in metrics:
        found = {arm: _of_metric(by_seed, task, metric) for arm, by_seed in mine.items()}
        facts.append(_facts(metric, found, study.baseline))
        against = {c.arm: c for c in compare(study, runs, f"{task}/{metric}")}
        for arm, by_seed in mine.items():
            values = list(outcomes(study, runs_of.get(arm, ()), arm, f"{task}/{metric}").values.values())
            items, reason = _items(baseline, by_seed, task, metric) if arm != study.baseline else (None, "")
            error, own = _item_error(found[arm]), _own(found[arm])
            rows.append(TaskRow(arm, metric, spread(values), error, own, against.get(arm), items, reason))
    return TaskTable(task, num_items, num_clusters, facts, rows)


def _of_metric(by_seed: Mapping[int, Detail], task: str, metric: str) -> list[dict[str, Any]]:
    """The JSON of a metric, of the runs that have it."""
    return [_metrics(d, task)[metric] for d in by_seed.values() if metric in _metrics(d, task)]


def _size(detail: Detail, task: str) -> tuple[int, int]:
    """Items and clusters; where no metric has a value by item, each item is its own cluster."""
    members = detail["groups"][task]["tasks"] if task in detail["groups"] else [task]
    paired = [name for name in detail["tasks"][members[0]]["items"]["values"] if name in _metrics(detail, task)]
    if not paired:
        total = sum(detail["tasks"][member]["num_items"] for member in members)
        return total, total
    items = column(detail, task, paired[0])
    return len(items.ids), len(set(items.clusters))


def _facts(metric: str, found: Mapping[str, list[dict[str, Any]]], baseline: str) -> MetricFacts:
    first = next(one for by_arm in found.values() for one in by_arm)
    own = found[baseline]
    at_chance = sum(one["informative"] is False for one in own)
    logarithm = metric.split(",")[0].endswith("perplexity")  # Items.values: a perplexity's items are its logarithm
    return MetricFacts(metric, first["unit"], first["direction"], first["chance"], at_chance, len(own), logarithm)


def _items(
    baseline: Mapping[int, Detail], arm: Mapping[int, Detail], task: str, metric: str
) -> tuple[ItemComparison | None, str]:
    """The comparison over seeds and items, or the sentence that says why there is none."""
    shared = [seed for seed in baseline if seed in arm]
    if not shared:
        return None, f"no seed of {task} was scored for both arms"
    if metric not in _paired(baseline[shared[0]], task):
        return None, f"{task} gives {metric} for all items at once, so nothing pairs item by item"
    try:
        return compare_items([baseline[s] for s in shared], [arm[s] for s in shared], task, metric), ""
    except UserError as error:
        return None, str(error)


def _paired(detail: Detail, task: str) -> set[str]:
    """The metrics that have a value by item in every task of a line."""
    members = detail["groups"][task]["tasks"] if task in detail["groups"] else [task]
    return set.intersection(*(set(detail["tasks"][member]["items"]["values"]) for member in members))


def _item_error(found: Sequence[Mapping[str, Any]]) -> float | None:
    errors = [one["standard_error"] for one in found if one["standard_error"] is not None]
    return math.sqrt(sum(error**2 for error in errors) / len(errors)) if errors else None


def _own(found: Sequence[Mapping[str, Any]]) -> float | None:
    """lm-eval's own mean over seeds, where a run's differs from ours: of ties and of what is not a number."""
    pairs = [(one["value"], one["lm_eval"]) for one in found if one["lm_eval"] is not None]
    if all(value is not None and math.isclose(value, own, rel_tol=SAME, abs_tol=SAME) for value, own in pairs):
        return None
    return sum(own for _, own in pairs) / len(pairs)


def warnings(runs: Sequence[StudyRun]) -> list[Warned]:
    """The warnings of all runs, each once."""
    counts: dict[tuple[str, str, str], list[int]] = {}
    others: dict[str, int] = {}
    scored: dict[str, int] = {}
    for detail in _every_detail(runs):
        for task in detail["tasks"]:
            scored[task] = scored.get(task, 0) + 1
        for sentence in detail["warnings"]:
            match = _COUNTED.match(sentence)
            if match is None:
                others[sentence] = others.get(sentence, 0) + 1
            else:
                key = match["task"], match["total"], match["what"]
                counts.setdefault(key, []).append(int(match["n"]))
    warned = [
        Warned(task, f"{_range(found)} of {int(total):,} items {what}", len(found), scored.get(task, len(found)))
        for (task, total, what), found in counts.items()
    ]
    return warned + [Warned(NAME, text, n, n) for text, n in others.items()]


def _every_detail(runs: Sequence[StudyRun]) -> Iterator[Detail]:
    for run in runs:
        yield from (s.detail for s in run.scores if s.name == NAME and s.status == "finished")


def _range(found: Sequence[int]) -> str:
    low, high = min(found), max(found)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def uninformative(study: StudyRecord, runs: Sequence[StudyRun]) -> frozenset[str]:
    """Names of the values whose interval over items includes chance in some run of the baseline: not to be ranked by.

    Declared before the arms are looked at (definitions, 3.6).
    """
    mine = (run for run in runs if run.arm == study.baseline)
    return frozenset(v.name for run in mine for s in run.scores for v in s.values if v.informative is False)
