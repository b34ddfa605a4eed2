"""lm-eval's tasks: level, both kinds of error, and the difference from the baseline over seeds and items."""

from __future__ import annotations

from collections.abc import Iterable

from harness.analyse.items import as_ratio
from harness.analyse.lmeval import MetricFacts, TaskRow, TaskTable, task_tables, warnings
from harness.analyse.scoreboard import arm_order
from harness.analyse.scores import absences
from harness.analyse.text import count, interval, number, signed
from harness.reporting.cells import NOT_AVAILABLE, absence_rows, between
from harness.reporting.section import Grid, Material, Section

_METHOD = (
    "The standard error over items is that of one run and holds no seeds; the standard deviation over seeds holds no "
    "items. The last interval counts both, as crossed random effects, over items answered by both arms on the same "
    "seed; items that come from one document or one task of a group are one cluster. A claim about an architecture "
    "needs it: with one seed it covers items alone, and is about two models."
)

_OWN = (
    "lm-eval's own number is shown where it is another: it takes the first of equal or NaN likelihoods for the answer, "
    "so a model that says nothing can score 100 %. Here a tie of the right answer counts one over the number of "
    "choices, and an item with NaN counts as wrong."
)


def section(material: Material) -> Section | None:
    """A table a task or group; None where nothing was scored with lm-eval."""
    study, runs = material.study, material.runs
    tables = task_tables(study, runs, arm_order(study, material.comparisons))
    missing = absence_rows(absences(runs, ["lm-eval"]))
    if not tables and not missing:
        return None
    notes = (_METHOD, *([_OWN] if _any_own(tables) else ())) if tables else ()
    grids = [_grid(table, study.baseline) for table in tables]
    if missing:
        grids.append(Grid(("score", "reason"), missing, title="Not scored with lm-eval"))
    warned = [(w.task, f"{w.num_runs} of {w.num_scored}", w.text) for w in warnings(runs)]
    if warned:
        columns = ("task", "runs", "warning")
        grids.append(Grid(columns, warned, title="Before believing these numbers"))
    return Section("lm-eval", notes, tuple(grids))


def _any_own(tables: Iterable[TaskTable]) -> bool:
    return any(row.own is not None for table in tables for row in table.rows)


def _grid(table: TaskTable, baseline: str) -> Grid:
    facts = {metric.name: metric for metric in table.metrics}
    own = _any_own([table])
    columns = (
        "arm",
        "metric",
        "score",
        *(["lm-eval's own"] if own else []),
        "standard error, items",
        "standard deviation, seeds",
        "seeds",
        "difference",
        "95 % interval, seeds",
        "95 % interval, seeds and items",
    )
    rows = [_row(row, facts[row.metric], own) for row in table.rows]
    return Grid(columns, rows, _note(table, baseline), table.task)


def _row(row: TaskRow, facts: MetricFacts, own: bool) -> tuple[str, ...]:
    s, c = row.spread, row.seeds
    return (
        row.arm,
        row.metric,
        NOT_AVAILABLE if s is None else number(s.mean),
        *([_own(row)] if own else []),
        number(row.item_error),
        "n/a" if s is None else number(s.sd),
        "0" if s is None else str(s.n),
        "" if c is None or c.mean_difference is None else signed(c.mean_difference),
        "" if c is None or c.mean_difference is None else interval(c.ci95),
        _both(row, facts),
    )


def _own(row: TaskRow) -> str:
    if row.spread is None:
        return ""
    return "the same" if row.own is None else number(row.own)


def _both(row: TaskRow, facts: MetricFacts) -> str:
    if row.items is None:
        return NOT_AVAILABLE if row.reason else ""
    if not facts.is_logarithm:
        return interval(row.items.ci95)
    ratio, ends = as_ratio(row.items)
    return f"ratio {number(ratio)} {between(ends)}"


def _note(table: TaskTable, baseline: str) -> str:
    size = f"{count(table.num_items, 'item')} in {count(table.num_clusters, 'cluster')}."
    if table.num_items == table.num_clusters:
        size = f"{count(table.num_items, 'item')}, each standing alone."
    reasons = dict.fromkeys(row.reason for row in table.rows if row.reason)
    return " ".join([size, *(_about(m, baseline) for m in table.metrics), *(f"{_capital(r)}." for r in reasons)])


def _about(facts: MetricFacts, baseline: str) -> str:
    """`acc: share of items, higher is better, guessing scores 0.25.`"""
    chance = "" if facts.chance is None else f", guessing scores {number(facts.chance, 3)}"
    ratio = ", the interval over seeds and items is of the ratio to the baseline" if facts.is_logarithm else ""
    said = f"{facts.name}: {facts.unit}, {facts.direction} is better{chance}{ratio}."
    if not facts.at_chance:
        return said
    return (
        f"{said} {facts.name} is uninformative here: the interval of {baseline} over items includes guessing in "
        f"{facts.at_chance} of {count(facts.num_baseline, 'run')}, so neither it nor a difference from it says much."
    )


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
