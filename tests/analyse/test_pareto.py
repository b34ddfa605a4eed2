"""Who dominates whom: hand-made cases, and against the definition over random points."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest
from scipy import stats

from harness.analyse.pareto import Panel, dominated_text, panels, sentence
from harness.analyse.throughput import timings
from harness.records.example import example_runs, example_study
from harness.records.example_measurements import example_throughput

BASE = (1.650, 1.655, 1.648, 1.652)


def made(losses: Mapping[str, Sequence[float | None]], speeds: Mapping[str, float], error: float = 0.01) -> list[Panel]:
    study = example_study(tuple(losses), range(max(map(len, losses.values()))))
    return panels(study, example_runs(losses), timings(example_throughput(speeds, error=error).detail))


def moved(*differences: float) -> list[float]:
    return [b + d for b, d in zip(BASE, differences, strict=True)]


def shifted(by: float) -> list[float]:
    return moved(by, by + 1e-4, by - 1e-4, by)


def test_a_point_is_a_mean_with_its_interval_and_a_rate() -> None:
    (training, decoding) = made({"gpt2": BASE, "a": shifted(-0.1)}, {"gpt2": 1.0, "a": 0.5})
    base = training.points[0]
    assert base.loss == pytest.approx(sum(BASE) / 4)
    expected = stats.ttest_1samp(BASE, 0).confidence_interval(0.95)
    assert base.loss_ci95 == pytest.approx((expected.low, expected.high))
    assert base.num_seeds == 4
    assert base.run_seconds == pytest.approx(1_590_000 / base.rate.median)
    assert decoding.points[0].run_seconds is None
    assert (training.title, decoding.title) == ("training", "decoding, batch 1, context 128")


def test_lower_and_faster_dominates_beyond_the_intervals() -> None:
    (panel, _) = made({"gpt2": BASE, "a": shifted(-0.1), "b": shifted(-0.2)}, {"gpt2": 1.0, "a": 2.0, "b": 0.5})
    by = {p.arm: (p.dominated_by, p.clearly_by) for p in panel.points}
    assert by == {"gpt2": (("a",), ("a",)), "a": ((), ()), "b": ((), ())}
    assert [round(loss, 2) for _, loss in panel.frontier] == [1.45, 1.55]
    assert sentence(panel) == (
        "By loss and tokens a second (training), a and b are not dominated; "
        "gpt2 is dominated by a beyond the 95 % intervals of loss and rate."
    )
    assert dominated_text(panel.points[0]) == "beyond the intervals\nby a"


@pytest.mark.parametrize(
    ("losses", "error"),
    [(moved(-0.1, 0.11, -0.12, 0.09), 0.01), (shifted(-0.1), 0.4)],  # the loss leaves it open; the rate does
)
def test_within_an_interval_it_is_by_the_means_alone(losses: list[float], error: float) -> None:
    (panel, _) = made({"gpt2": BASE, "a": losses}, {"gpt2": 1.0, "a": 1.2}, error)
    base = panel.points[0]
    assert (base.dominated_by, base.clearly_by) == (("a",), ())
    assert "by the means alone" in sentence(panel)
    assert dominated_text(base) == "by the means\nby a"


def test_pairs_decide_and_not_the_intervals_of_the_means() -> None:
    spread = (1.5, 1.9, 1.6, 1.8)  # intervals that overlap widely
    (panel, _) = made({"gpt2": spread, "a": [x - 0.01 - 0.001 * (i % 2) for i, x in enumerate(spread)]}, SLOW)
    assert panel.points[0].clearly_by == ("a",)


SLOW = {"gpt2": 1.0, "a": 2.0}


def test_equals_do_not_dominate_each_other() -> None:
    (panel, _) = made({"gpt2": BASE, "a": BASE}, {"gpt2": 1.0, "a": 1.0})
    assert [p.dominated_by for p in panel.points] == [(), ()]
    assert sentence(panel).endswith("and no arm is.")


def test_against_the_definition() -> None:
    rng = random.Random(0)
    names = ["gpt2", *(f"arm {i}" for i in range(29))]
    losses = {name: [rng.choice((1.5, 1.6, 1.7, 1.8)) for _ in range(2)] for name in names}
    speeds = {name: rng.choice((0.5, 1.0, 1.5, 2.0)) for name in names}
    (panel, _) = made(losses, speeds)
    mean = {name: sum(values) / 2 for name, values in losses.items()}
    for point in panel.points:
        expected = {
            o
            for o in names
            if (mean[o] < mean[point.arm] and speeds[o] >= speeds[point.arm])
            or (mean[o] <= mean[point.arm] and speeds[o] > speeds[point.arm])
        }
        assert set(point.dominated_by) == expected
        assert set(point.clearly_by) <= expected
    rates, losses_on_line = zip(*panel.frontier, strict=True)
    assert list(rates) == sorted(rates)
    assert list(losses_on_line) == sorted(losses_on_line)
    assert sentence(panel).endswith(" more arms, see the table.")


def test_arms_without_a_number_are_named() -> None:
    losses = {"gpt2": BASE, "diverged": [None] * 4, "untimed": BASE, "partly": [1.6, None, None, None]}
    panel = made(losses, {"gpt2": 1.0, "diverged": 2.0, "partly": 1.5})[0]
    assert panel.lacking == [("diverged", "no run finished"), ("untimed", "was not timed")]
    assert [p.arm for p in panel.points] == ["gpt2", "partly"]
    assert panel.points[1].loss_ci95 is None
    assert panel.points[1].place == 3
    assert not panel.points[0].clearly_by, "one seed has no interval"
    assert made({"gpt2": [None]}, {"gpt2": 1.0}) == []


def test_one_bad_arm_does_not_stretch_the_axis() -> None:
    losses = {"gpt2": BASE, "a": shifted(-0.02), "b": shifted(0.02), "bad": shifted(3e12)}
    (panel, _) = made(losses, dict.fromkeys(losses, 1.0))
    low, high = panel.limits
    assert 1.5 < low < 1.63
    assert 1.67 < high < 2.0
    (alone, _) = made({"gpt2": [1.6]}, {"gpt2": 1.0})
    assert alone.limits[0] < 1.6 < alone.limits[1]
    assert "there is no other arm" in sentence(alone)
