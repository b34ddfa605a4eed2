"""Did an arm answer more items right? Differences paired item by item, clustered, and combined with seeds.

A benchmark's standard error usually holds the sampling of items and nothing else. A claim about an architecture must
hold for other seeds and for other items, so the spread of both counts (definitions, 3.5 and 3.6):

    Var(mean difference) = s_s^2 / n_s + s_i^2 / n_i + s_si^2 / (n_s n_i)

for seeds s and items i, crossed. Items that share a passage or a paradigm are one cluster (Miller 2024,
arXiv:2411.00640). Works on records' JSON (`LmEvalScores.to_json`), without torch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from harness.analyse.statistics import mean_and_sd, t_quantile
from variants.errors import UserError

FEWEST_CLUSTERS = 20
"""With fewer, a clustered error is too small (Cameron and Miller 2015, section VI): items then stand alone."""

BOOTSTRAP_DRAWS = 2000
"""Resamples; the error of the standard error is then about 2 %."""


@dataclass(frozen=True, eq=False)
class ItemColumn:
    """One metric of one run by item. `clusters` names the cluster of each item."""

    ids: tuple[str, ...]
    clusters: tuple[str, ...]
    values: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class ItemDifference:
    """Arm minus baseline over the items of one pair of runs."""

    mean: float
    standard_error: float | None
    num_items: int
    num_clusters: int
    correlation: float | None  # of the two arms over items: what pairing gains


@dataclass(frozen=True)
class Components:
    """What each source adds to the variance of the mean difference; they sum to it. None: it was not varied."""

    seeds: float | None  # s_s^2 / n_s
    items: float | None  # s_i^2 / n_i
    interaction: float | None  # s_si^2 / (n_s n_i)


@dataclass(frozen=True)
class ItemComparison:
    """Arm minus baseline over seeds and items."""

    name: str
    metric: str
    mean: float
    standard_error: float | None
    ci95: tuple[float, float] | None
    degrees_of_freedom: float | None
    num_seeds: int
    num_items: int
    num_clusters: int
    components: Components


def column(run: Mapping[str, Any], name: str, metric: str) -> ItemColumn:
    """The items of a task, or of all tasks of a group, from one run's `LmEvalScores.to_json()`.

    In a group each task is a cluster (BLiMP's paradigms); in a task, the document an item comes from, where the task
    says so and there are enough of them. Raises `UserError` when the run has no such items.
    """
    if name in run["groups"]:
        members = run["groups"][name]["tasks"]
        parts = [_task_column(run, task, metric, cluster=task) for task in members]
        return ItemColumn(
            _joined(tuple(part.ids for part in parts)),
            _joined(tuple(part.clusters for part in parts)),
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.weights for part in parts]),
        )
    return _task_column(run, name, metric, cluster=None)


def _task_column(run: Mapping[str, Any], task: str, metric: str, cluster: str | None) -> ItemColumn:
    items = run["tasks"].get(task, {}).get("items")
    if items is None or metric not in items["values"]:
        raise UserError(f"no items of task {task!r} with metric {metric!r} in this run's lm-eval scores")
    ids = _ids_in(task, tuple(items["ids"]))
    values = np.asarray(items["values"][metric], dtype=np.float64)  # None is NaN
    weights = np.asarray(items["weights"].get(metric, np.ones(len(ids))), dtype=np.float64)
    clusters = None if items["clusters"] is None else tuple(items["clusters"])
    return ItemColumn(ids, _clusters_of(ids, clusters) if cluster is None else (cluster,) * len(ids), values, weights)


# The names are the same in all runs. Made once they are one object, and thousands of columns cost their numbers alone.


@lru_cache(maxsize=256)
def _ids_in(task: str, ids: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{task}/{i}" for i in ids)


@lru_cache(maxsize=256)
def _clusters_of(ids: tuple[str, ...], clusters: tuple[str, ...] | None) -> tuple[str, ...]:
    return ids if clusters is None or len(set(clusters)) < FEWEST_CLUSTERS else clusters


@lru_cache(maxsize=256)
def _joined(names: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    return tuple(itertools.chain.from_iterable(names))


@lru_cache(maxsize=256)
def _places(clusters: tuple[str, ...]) -> np.ndarray:
    """The number of each item's cluster, in the order of their names."""
    return np.unique(np.asarray(clusters), return_inverse=True)[1]


def compare_items(
    baseline: Sequence[Mapping[str, Any]], arm: Sequence[Mapping[str, Any]], name: str, metric: str = "acc"
) -> ItemComparison:
    """The paired comparison of an arm with the baseline on a task or group.

    Args:
        baseline: `LmEvalScores.to_json()` of the baseline's runs, one a seed.
        arm: the arm's, seed by seed in the same order.
        name: task or group; `metric` has a value by item there.

    Raises:
        UserError: the runs were not scored on the same items, or an item has no value.
    """
    pairs = [(column(b, name, metric), column(a, name, metric)) for b, a in zip(baseline, arm, strict=True)]
    if not pairs:
        raise UserError(f"a comparison of items on {name!r} needs at least one pair of runs, got none")
    first = pairs[0][0]
    if any(c.ids != first.ids for pair in pairs for c in pair):
        raise UserError(f"the runs were scored on different items of {name!r}; score them again with the same --limit")
    differences = np.stack([a.values - b.values for b, a in pairs])  # (seeds, items)
    if not np.isfinite(differences).all():
        raise UserError(f"some items of {name!r} have no {metric}: a run's likelihoods are not numbers there")
    return hierarchical(name, metric, differences, first.clusters, first.weights)


def paired_difference(
    baseline: np.ndarray, arm: np.ndarray, clusters: Sequence[str], weights: np.ndarray | None = None
) -> ItemDifference:
    """The mean of the item differences and its clustered standard error (Miller 2024, sections 2.2 and 4.2).

    sqrt(Var(a - b) / n) for items that stand alone: it gains from the correlation of the two arms what the separate
    errors, SE_a^2 + SE_b^2, leave on the table.
    """
    differences = np.asarray(arm, dtype=np.float64) - np.asarray(baseline, dtype=np.float64)
    constant = min(np.ptp(arm), np.ptp(baseline)) == 0
    return ItemDifference(
        mean=float(np.average(differences, weights=weights)),
        standard_error=clustered_standard_error(differences, clusters, weights),
        num_items=len(differences),
        num_clusters=len(set(clusters)),
        correlation=None if constant or len(differences) < 3 else float(np.corrcoef(baseline, arm)[0, 1]),
    )


def clustered_standard_error(
    values: np.ndarray, clusters: Sequence[str], weights: np.ndarray | None = None
) -> float | None:
    """sqrt(G/(G-1) sum_c (sum_{i in c} w_i (x_i - mean))^2) / sum w; s / sqrt(n) when every item is a cluster.

    Liang and Zeger (1986); Miller (2024), equation 4, with the small-sample factor. None for fewer than 2 clusters.
    """
    sums, total = _cluster_sums(np.asarray(values, dtype=np.float64)[None], clusters, weights)
    groups = sums.shape[1]
    if groups < 2:
        return None
    return float(np.sqrt(groups / (groups - 1) * (sums[0] ** 2).sum()) / total)


def hierarchical(
    name: str,
    metric: str,
    differences: np.ndarray,
    clusters: Sequence[str],
    weights: np.ndarray,
) -> ItemComparison:
    """The mean of a (seeds, items) table of differences, its variance from seeds, items and their interaction.

    The components are those of a crossed random-effects analysis of variance without replication (Searle, Casella and
    McCulloch 1992, section 4.7), negative ones set to zero; items may come in clusters, which makes it the two-way
    clustering of Cameron, Gelbach and Miller (2011). The interval is Student's with Satterthwaite's degrees of
    freedom, never fewer than the scarcer of seeds and clusters allows. One seed leaves the spread of seeds unknown:
    the interval is then about these two models and not about their architectures.
    """
    mean = float(np.average(differences, axis=1, weights=weights).mean())
    components, df = _components(differences, clusters, weights)
    known = [v for v in (components.seeds, components.items, components.interaction) if v is not None]
    error = math.sqrt(sum(known)) if known else None
    half = None if error is None or df is None else t_quantile(0.025, df) * error
    ci95 = None if half is None else (mean - half, mean + half)
    seeds, items = differences.shape
    return ItemComparison(name, metric, mean, error, ci95, df, seeds, items, len(set(clusters)), components)


def as_ratio(found: ItemComparison) -> tuple[float, tuple[float, float] | None]:
    """exp of a difference of logarithms and of its interval: the ratio of two perplexities."""
    ends = None if found.ci95 is None else (_exp(found.ci95[0]), _exp(found.ci95[1]))
    return _exp(found.mean), ends


def _exp(x: float) -> float:
    return math.exp(min(x, 700.0))  # the largest that a float holds is at 709


def _components(
    differences: np.ndarray, clusters: Sequence[str], weights: np.ndarray
) -> tuple[Components, float | None]:
    """Variance of the mean by source, and degrees of freedom.

    V_s, V_i and V_si below estimate the variance of the mean if only seeds, only items, or both at once were drawn
    anew; the first two each contain the third.
    """
    n = len(differences)
    seed_means = np.average(differences, axis=1, weights=weights)
    over_items = clustered_standard_error(differences.mean(axis=0), clusters, weights)
    v_i = None if over_items is None else over_items**2
    v_s = None if n < 2 else mean_and_sd(seed_means.tolist())[1] ** 2 / n
    groups = len(set(clusters))
    if v_i is None or v_s is None:
        df = groups - 1 if v_s is None else n - 1
        return Components(v_s, v_i, None), float(df) if df > 0 else None
    residuals = differences - seed_means[:, None] - differences.mean(axis=0) + seed_means.mean()
    sums, total = _cluster_sums(residuals, clusters, weights)
    v_si = float((sums**2).sum()) * groups / (groups - 1) / (n * (n - 1)) / total**2
    parts = Components(max(0.0, v_s - v_si), max(0.0, v_i - v_si), v_si)
    variance = (parts.seeds or 0.0) + (parts.items or 0.0) + v_si
    spread = v_s**2 / (n - 1) + v_i**2 / (groups - 1) + v_si**2 / ((n - 1) * (groups - 1))
    least = min(n, groups) - 1
    return parts, float(least) if spread == 0 else max(float(least), variance**2 / spread)


def _cluster_sums(table: np.ndarray, clusters: Sequence[str], weights: np.ndarray | None) -> tuple[np.ndarray, float]:
    """(rows, clusters) sums of weighted deviations from each row's mean, and the sum of the weights."""
    w = np.ones(table.shape[1]) if weights is None else np.asarray(weights, dtype=np.float64)
    deviations = (table - np.average(table, axis=1, weights=w)[:, None]) * w
    places = _places(tuple(clusters))
    sums = np.stack([np.bincount(places, weights=row) for row in deviations])
    return sums, float(w.sum())


def two_way_bootstrap(
    differences: np.ndarray, clusters: Sequence[str], *, draws: int = BOOTSTRAP_DRAWS, seed: int = 0
) -> float:
    """Standard error of the mean by resampling seeds and clusters at once: a check on `hierarchical`.

    The pigeonhole bootstrap (Owen 2007, arXiv:0709.1793). It counts the interaction up to three times, and with few
    seeds the seeds' part is too small by sqrt((n - 1) / n).
    """
    rng = np.random.default_rng(seed)
    places = _places(tuple(clusters))
    sums = np.stack([np.bincount(places, weights=row) for row in differences])  # (seeds, clusters)
    sizes = np.bincount(places)
    n, groups = sums.shape
    means = []
    for _ in range(draws):
        s = np.bincount(rng.integers(0, n, n), minlength=n)
        c = np.bincount(rng.integers(0, groups, groups), minlength=groups)
        means.append((s @ sums @ c) / (n * (sizes @ c)))
    return float(np.std(means, ddof=1))
