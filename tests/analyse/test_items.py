"""Paired item differences, clusters and seeds: against textbook formulas and against simulation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from harness.analyse.items import (
    FEWEST_CLUSTERS,
    clustered_standard_error,
    column,
    compare_items,
    hierarchical,
    paired_difference,
    two_way_bootstrap,
)
from variants.errors import UserError


def alone(n: int) -> list[str]:
    return [str(i) for i in range(n)]


def table(values: np.ndarray, clusters: list[str] | None = None) -> Any:
    n = values.shape[1]
    return hierarchical("task", "acc", values, clusters or alone(n), np.ones(n))


def test_pairing_is_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=50)
    b = a + rng.normal(0.1, 0.3, size=50)
    found = paired_difference(a, b, alone(50))
    test = stats.ttest_rel(b, a)
    assert found.mean == pytest.approx((b - a).mean())
    assert found.standard_error is not None
    assert found.mean / found.standard_error == pytest.approx(test.statistic)
    assert found.correlation == pytest.approx(np.corrcoef(a, b)[0, 1])
    separate = math.hypot(a.std(ddof=1), b.std(ddof=1)) / math.sqrt(50)
    assert found.standard_error < separate  # Miller 2024: what pairing gains


def test_clusters_of_one_are_no_clusters() -> None:
    x = np.random.default_rng(1).normal(size=30)
    assert clustered_standard_error(x, alone(30)) == pytest.approx(x.std(ddof=1) / math.sqrt(30))
    assert clustered_standard_error(x, ["all"] * 30) is None


def test_repeated_items_add_no_knowledge() -> None:
    """Ten copies of each item in one cluster: the error is that of the items once, not a third of it."""
    x = np.random.default_rng(2).normal(size=40)
    copies, clusters = np.repeat(x, 10), [str(i) for i in range(40) for _ in range(10)]
    once = clustered_standard_error(x, alone(40))
    assert once is not None
    assert clustered_standard_error(copies, clusters) == pytest.approx(once)
    assert (clustered_standard_error(copies, alone(400)) or 0.0) < once / 3


def test_weights_are_repetitions() -> None:
    x, w = np.array([1.0, 2.0, 5.0]), np.array([1.0, 3.0, 2.0])
    copies = np.repeat(x, w.astype(int))
    clusters = [str(i) for i, n in enumerate(w.astype(int)) for _ in range(n)]
    assert clustered_standard_error(x, alone(3), w) == pytest.approx(clustered_standard_error(copies, clusters))


def test_components_are_those_of_the_analysis_of_variance() -> None:
    rng = np.random.default_rng(3)
    s, n = 5, 60
    d = 0.1 + rng.normal(0, 0.3, (s, 1)) + rng.normal(0, 0.5, (1, n)) + rng.normal(0, 0.7, (s, n))
    grand = d.mean()
    ms_s = n * d.mean(1).var(ddof=1)
    ms_i = s * d.mean(0).var(ddof=1)
    residual = d - d.mean(1, keepdims=True) - d.mean(0, keepdims=True) + grand
    ms_si = (residual**2).sum() / ((s - 1) * (n - 1))
    found = table(d)
    assert found.mean == pytest.approx(grand)
    assert found.components.seeds == pytest.approx((ms_s - ms_si) / n / s)
    assert found.components.items == pytest.approx((ms_i - ms_si) / s / n)
    assert found.components.interaction == pytest.approx(ms_si / s / n)
    assert found.standard_error == pytest.approx(math.sqrt((ms_s + ms_i - ms_si) / (s * n)))


@pytest.mark.parametrize(
    ("sd_seeds", "sd_items", "sd_both", "clustered"),
    [(0.05, 0.3, 0.5, False), (0.0, 0.3, 0.5, False), (0.1, 0.0, 0.4, False), (0.03, 0.2, 0.4, True)],
)
def test_the_interval_covers_the_truth(sd_seeds: float, sd_items: float, sd_both: float, clustered: bool) -> None:
    """600 simulated studies of 4 seeds and 120 items: 92 to 100 % of the 95 % intervals hold the true difference."""
    rng = np.random.default_rng(4)
    s, n, truth = 4, 120, 0.02
    clusters = [str(i // 4) for i in range(n)] if clustered else alone(n)
    hits = 0
    for _ in range(600):
        items = rng.normal(0, sd_items, (1, n // 4)).repeat(4, axis=1) if clustered else rng.normal(0, sd_items, (1, n))
        d = truth + rng.normal(0, sd_seeds, (s, 1)) + items + rng.normal(0, sd_both, (s, n))
        low, high = table(d, clusters).ci95
        hits += low <= truth <= high
    assert 0.92 <= hits / 600 <= 1.0


def test_items_alone_would_be_too_sure() -> None:
    """Seeds that differ: the naive error over all seed-item cells is several times too small."""
    rng = np.random.default_rng(5)
    means, naive, ours = [], [], []
    for _ in range(300):
        d = rng.normal(0, 0.1, (4, 1)) + rng.normal(0, 0.3, (4, 400))
        means.append(d.mean())
        naive.append(d.std(ddof=1) / math.sqrt(d.size))
        ours.append(table(d).standard_error)
    assert np.mean(naive) < np.std(means) / 5
    assert math.sqrt(np.mean(np.square(ours))) == pytest.approx(np.std(means), rel=0.15)


def test_the_two_way_bootstrap_agrees() -> None:
    rng = np.random.default_rng(6)
    d = rng.normal(0, 0.2, (20, 1)) + rng.normal(0, 1.0, (1, 200)) + rng.normal(0, 0.3, (20, 200))
    found = table(d)
    assert two_way_bootstrap(d, alone(200)) == pytest.approx(found.standard_error, rel=0.1)
    assert two_way_bootstrap(d, alone(200), seed=1) != two_way_bootstrap(d, alone(200), seed=2)


def test_one_seed_speaks_of_items_only() -> None:
    d = np.random.default_rng(7).normal(size=(1, 50))
    found = table(d)
    assert found.components.seeds is None
    assert found.standard_error == pytest.approx(d.std(ddof=1) / math.sqrt(50))


def test_equal_arms_have_no_error() -> None:
    found = table(np.zeros((3, 10)))
    assert (found.mean, found.standard_error, found.ci95) == (0.0, 0.0, (0.0, 0.0))


def run(seed: int, shift: float = 0.0, *, documents: int = 30) -> dict[str, Any]:
    """An `LmEvalScores.to_json()` with two paradigms and a task whose items come from documents."""
    rng = np.random.default_rng(seed)

    def task(n: int, clusters: list[str] | None, weights: dict[str, list[float]] | None = None) -> dict[str, Any]:
        values = (rng.random(n) + shift > 0.5).astype(float).tolist()
        return {"items": {"ids": alone(n), "clusters": clusters, "values": {"acc": values}, "weights": weights or {}}}

    return {
        "tasks": {
            "blimp_a": task(40, None),
            "blimp_b": task(40, None),
            "cloze": task(60, [str(i % documents) for i in range(60)]),
        },
        "groups": {"blimp": {"tasks": ["blimp_a", "blimp_b"]}},
    }


def test_a_group_is_clustered_by_its_tasks_and_a_task_by_documents() -> None:
    assert set(column(run(0), "blimp", "acc").clusters) == {"blimp_a", "blimp_b"}
    assert len(set(column(run(0), "blimp", "acc").ids)) == 80
    assert len(set(column(run(0), "cloze", "acc").clusters)) == 30
    assert len(set(column(run(0, documents=FEWEST_CLUSTERS - 1), "cloze", "acc").clusters)) == 60  # too few to trust
    assert len(set(column(run(0), "blimp_a", "acc").clusters)) == 40


def test_runs_are_compared_seed_by_seed() -> None:
    baseline, arm = [run(i) for i in range(4)], [run(i, shift=0.2) for i in range(4)]
    found = compare_items(baseline, arm, "cloze")
    assert (found.num_seeds, found.num_items, found.num_clusters) == (4, 60, 30)
    pairs = [(column(b, "cloze", "acc"), column(a, "cloze", "acc")) for b, a in zip(baseline, arm, strict=True)]
    by_seed = [paired_difference(b.values, a.values, b.clusters, b.weights) for b, a in pairs]
    assert found.mean == pytest.approx(np.mean([d.mean for d in by_seed]))
    assert found.ci95 is not None
    assert 0.0 < found.ci95[0] < found.mean < found.ci95[1]


def test_what_cannot_be_paired_is_refused() -> None:
    shorter, broken = run(1), run(1)
    shorter["tasks"]["cloze"]["items"] = shorter["tasks"]["blimp_a"]["items"]
    broken["tasks"]["cloze"]["items"]["values"]["acc"][3] = None
    with pytest.raises(UserError, match="different items"):
        compare_items([run(0)], [shorter], "cloze")
    with pytest.raises(UserError, match="no items of task 'piqa'"):
        compare_items([run(0)], [run(1)], "piqa")
    with pytest.raises(UserError, match="not numbers"):
        compare_items([run(0)], [broken], "cloze")
    with pytest.raises(UserError, match="at least one pair"):
        compare_items([], [], "cloze")
