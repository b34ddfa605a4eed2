"""Two studies beside each other: Welch against scipy, pairing where it holds, every difference in the setup."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.analyse.comparison import compare
from harness.analyse.statistics import paired_t
from harness.analyse.two_studies import contrast, differences, pairing, same_runs, shared_arms, shared_levels
from harness.analyse.welch import welch_t
from harness.records.example import example_runs, example_study

A = {"gpt2": [1.650, 1.655, 1.648, 1.652], "norm=rms": [1.651, 1.654, 1.650, 1.6505]}
B = {"gpt2": [1.640, 1.645, 1.638, 1.642], "norm=rms": [1.651, 1.656, 1.652, 1.654]}
values = st.lists(st.integers(-1000, 1000).map(lambda n: n / 64), min_size=2, max_size=9)


@pytest.mark.filterwarnings("ignore:Precision loss occurred")  # scipy's, of one sample without spread
@given(values, values)
def test_welch_is_scipys(first: list[float], second: list[float]) -> None:
    found = welch_t(first, second)
    if np.ptp(first) == np.ptp(second) == 0:
        assert found.ci == (found.mean, found.mean)
        assert found.p == float(found.mean == 0)
        return
    theirs: Any = stats.ttest_ind(second, first, equal_var=False)
    interval = theirs.confidence_interval(0.95)
    assert found.mean == pytest.approx(np.mean(second) - np.mean(first), abs=1e-9)
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-6, abs=1e-12)
    assert found.ci == pytest.approx((interval.low, interval.high), rel=1e-6, abs=1e-9)


def test_the_coverage_of_welch_with_unequal_spread() -> None:
    rng = np.random.default_rng(0)
    trials = 1000
    hits = 0
    for _ in range(trials):
        low, high = welch_t(rng.normal(0, 1, 4).tolist(), rng.normal(0.5, 3, 8).tolist()).ci
        hits += low <= 0.5 <= high
    assert 0.93 <= hits / trials <= 0.97


def test_pairing_needs_the_same_data_and_the_same_seeds() -> None:
    study = example_study()
    assert pairing(study, example_study()).by_seed
    assert not pairing(study, example_study(seeds=(4, 5, 6, 7))).by_seed
    assert "seeds differ" in pairing(study, example_study(seeds=(4, 5))).why
    other = dataclasses.replace(study, data={**study.data, "sha256": "cd" * 32})
    assert "data differ" in pairing(study, other).why


@pytest.mark.parametrize("paired", [True, False])
def test_how_much_more_an_arm_changes_in_the_second(paired: bool) -> None:
    study = example_study()
    (arm,) = shared_arms(compare(study, example_runs(A)), compare(study, example_runs(B)), paired)
    in_a, in_b = ([v - b for v, b in zip(d["norm=rms"], d["gpt2"], strict=True)] for d in (A, B))
    want = paired_t(np.subtract(in_b, in_a).tolist()) if paired else welch_t(in_a, in_b)
    assert arm.change.found is not None
    assert arm.change.found.mean == pytest.approx(want.mean)
    assert arm.change.found.ci == pytest.approx(want.ci)
    assert arm.change.how == ("paired by seed" if paired else "Welch")


def test_levels_and_the_same_runs() -> None:
    study, runs = example_study(), example_runs(A)
    moved = example_runs({"gpt2": A["gpt2"], "norm=rms": B["norm=rms"]})
    moved = [
        r if r.arm == "gpt2" else dataclasses.replace(r, record=dataclasses.replace(r.record, key="x")) for r in moved
    ]
    assert same_runs(runs, moved) == {"gpt2"}
    base, rms = shared_levels((study, runs), (study, moved), paired=True)
    assert (base.change.how, base.change.found) == ("the same runs", None)
    assert rms.change.found is not None
    assert rms.change.found.mean == pytest.approx(np.mean(B["norm=rms"]) - np.mean(A["norm=rms"]))


def test_too_few_seeds_give_no_interval() -> None:
    assert contrast({0: 1.0}, {0: 2.0, 1: 2.0}, paired=True).how == "too few seeds"
    assert contrast({0: 1.0}, {0: 2.0, 1: 2.0}, paired=False).how == "too few seeds"


def test_everything_that_differs_is_named_and_nothing_else() -> None:
    study = example_study()
    assert differences(study, dataclasses.replace(study, name="other", created="later", command=["x"])) == []
    other = dataclasses.replace(
        example_study(("gpt2", "norm=dyt"), seeds=(0, 1)),
        budget=1e12 + 1,
        recipe={**study.recipe, "lr": 0.003, "warmup": 10},
    )
    found = {d.what: (d.first, d.second) for d in differences(study, other)}
    assert found == {
        "budget": ("1000000000000", "1000000000001"),
        "seeds": ("0, 1, 2 and 3", "0 and 1"),
        "recipe lr": ("0.006", "0.003"),
        "recipe warmup": ("none", "10"),
        "arms that the other has not": ("norm=rms", "norm=dyt"),
    }
