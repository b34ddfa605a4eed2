"""A ladder of made-up studies: laws and multipliers that were put in come out, with intervals that cover."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from harness.analyse.ladder import baseline_fit, climb, climbs, ranks
from harness.analyse.ladder_text import (
    fit_text,
    headline,
    headlines,
    rank_text,
    sentences,
    sign_text,
    slope_text,
    trend_text,
)
from harness.analyse.multiplier_curve import fitted
from harness.analyse.resources import Resource, in_resource, product_interval
from harness.analyse.scaling import Ladder, Multiplier
from harness.records.example_ladder import ALPHA, BUDGETS, FLOOR, SCALE, example_ladder, example_loss, without
from harness.records.example_measurements import example_throughput
from harness.records.ladder import Rung

GAIN = 1.4
WIDE = tuple(1e12 * 4**k for k in range(5))


def fading(budget: float) -> float:
    """1.6 at the lowest rung, and less by a tenth with each doubling."""
    return 1.6 * 0.9 ** math.log2(budget / BUDGETS[0])


def test_a_multiplier_that_was_put_in_is_found_at_every_rung() -> None:
    found = climb(example_ladder({"ffn=moe": GAIN}, sd=0.0), "ffn=moe")
    assert [m.multiplier for m in found.worth["FLOPs"]] == pytest.approx([GAIN] * 4, rel=0.02)
    assert found.budgets == found.spent == list(BUDGETS)
    assert found.trend is not None
    assert found.trend.per_doubling == pytest.approx(1, abs=0.01)
    assert len(found.curve) == 17
    assert all(m.multiplier == pytest.approx(GAIN, rel=0.03) for m in found.curve)
    assert headline(found).startswith("ffn=moe is worth 1.4 times gpt2's compute at 8e+12 FLOPs, 95 % interval 1.")


def test_the_law_that_was_put_in_is_found_with_an_interval_around_it() -> None:
    fit = baseline_fit(example_ladder({}, WIDE, seeds=6, sd=0.0005))
    assert fit is not None
    low, high = fit.alpha or (0, 0)
    assert low < ALPHA < high
    assert high - low < 0.1
    assert fit.E is not None
    assert fit.E[0] < FLOOR < fit.E[1]
    scale = SCALE * (fit.law.unit / 1e12) ** -ALPHA
    assert fit.A is not None
    assert fit.A[0] < scale < fit.A[1]
    for budget, ci in zip(fit.budgets, fit.band, strict=True):
        assert ci is not None
        assert ci[0] - 0.001 < example_loss(budget) < ci[1] + 0.001
    assert "too few to read E and alpha" not in fit_text(fit, 5)
    straight = fitted(Ladder(WIDE, np.ones((3, 1)) * [2.0 * 0.8**k for k in range(5)]))
    assert straight is not None
    assert straight.E is None
    assert "E not seen, 0 is its bound" in fit_text(straight, 5)
    narrow = baseline_fit(example_ladder({}))
    assert "0.9 decades of compute: too few to read E and alpha" in fit_text(narrow, 4)


def test_intervals_cover_the_truth_over_studies() -> None:
    """Of the multiplier at the top rung, of the trend, and of the law's band in the middle: 95 % each, 40 studies."""
    held: dict[str, list[bool]] = {"worth": [], "trend": [], "band": []}
    for noise in range(40):
        rungs = example_ladder({"norm=rms": GAIN}, sd=0.003, noise=noise, seeds=5)
        found, fit = climb(rungs, "norm=rms"), baseline_fit(rungs)
        ci, trend = found.worth["FLOPs"][-1].ci95, found.trend
        assert ci is not None
        assert trend is not None
        assert trend.ci95 is not None
        assert fit is not None
        band = fit.band[8]
        assert band is not None
        held["worth"].append(ci[0] <= GAIN <= ci[1])
        held["trend"].append(trend.ci95[0] <= 1 <= trend.ci95[1])
        held["band"].append(band[0] <= example_loss(fit.budgets[8]) <= band[1])
    for name, covered in held.items():
        assert np.mean(covered) >= 0.85, f"{name}: 3 standard errors below 0.95"


def test_three_budgets_are_read_locally() -> None:
    rungs = example_ladder({"norm=rms": 1.1}, BUDGETS[:3], sd=0.0)
    found = climb(rungs, "norm=rms")
    assert {m.method.split(",")[0] for m in found.worth["FLOPs"]} == {"local"}
    slope = (example_loss(1e12) - example_loss(2e12)) / math.log(2)
    expected = math.exp((example_loss(1e12) - example_loss(1.1e12)) / slope)
    assert found.worth["FLOPs"][0].multiplier == pytest.approx(expected)
    assert "3 budgets carry no law" in fit_text(baseline_fit(rungs), 3)


def test_tokens_against_their_closed_form() -> None:
    """At a FLOP ratio r per token the arm sees 1/r of the tokens, so it is worth r times as much of them."""
    rungs = example_ladder({"attention=mqa": GAIN}, sd=0.0, flops_per_token={"attention=mqa": 1.25e6})
    found = climb(rungs, "attention=mqa")
    assert [m.multiplier for m in found.worth["tokens"]] == pytest.approx([GAIN * 1.25] * 4, rel=0.02)
    assert "In tokens it is worth 1.75 times gpt2's tokens at 8e+12 FLOPs" in " ".join(sentences(found))


def test_seconds_against_their_closed_form() -> None:
    """Seconds are tokens over tokens a second: worth in seconds = worth in tokens x (arm's speed / baseline's)."""
    measured = [example_throughput({"gpt2": 1.0, "ffn=moe": 0.8}, error=0.01)]
    rungs = example_ladder({"ffn=moe": GAIN}, sd=0.001, measurements=measured)
    found = climb(rungs, "ffn=moe")
    for in_flops, in_seconds in zip(found.worth["FLOPs"], found.worth["seconds"], strict=True):
        assert in_flops.multiplier is not None
        assert in_seconds.multiplier == pytest.approx(0.8 * in_flops.multiplier)
        assert in_flops.ci95 is not None
        assert in_seconds.ci95 is not None
        wider = np.log(in_seconds.ci95[1] / in_seconds.ci95[0]) > np.log(in_flops.ci95[1] / in_flops.ci95[0])
        assert wider, "the timing has an error of its own"


def test_one_rung_that_was_timed_stands_for_rungs_of_the_same_models() -> None:
    rungs = example_ladder({"ffn=moe": GAIN}, sd=0.0)
    assert climb(rungs, "ffn=moe").absent["seconds"] == ("training speed was not measured at 1e+12; --score speed does")
    measured = example_throughput({"gpt2": 1.0, "ffn=moe": 0.5})
    timed = [*rungs[:-1], dataclasses.replace(rungs[-1], measurements=[measured])]
    assert [m.multiplier for m in climb(timed, "ffn=moe").worth["seconds"]] == pytest.approx([GAIN / 2] * 4, rel=0.02)


def test_seconds_of_sizes_follow_the_rungs() -> None:
    """Where larger rungs run at twice the FLOP/s, seconds grow as the root of compute here."""
    known = [Multiplier(1.0, 4.0, (2.0, 8.0), "law")]
    found = in_resource(
        known, [1.0, 4.0, 16.0], Resource("seconds", [1.0, 2.0, 4.0], [0.5, 1.0, 2.0], [(1.0, 1.0)] * 3)
    )
    assert found[0].multiplier == pytest.approx(2 / 0.5)
    assert found[0].ci95 == pytest.approx((math.sqrt(2) / 0.5, math.sqrt(8) / 0.5))


def test_the_interval_of_a_product_adds_up_in_squares() -> None:
    """For normal logarithms it is the interval of the sum: 1.96 sqrt(a^2 + b^2)."""
    a, b = 0.05, 0.02
    found = product_interval(
        2.0, (2 * math.exp(-1.96 * a), 2 * math.exp(1.96 * a)), (math.exp(-1.96 * b), math.exp(1.96 * b))
    )
    half = 1.96 * math.hypot(a, b)
    assert found == pytest.approx((2 * math.exp(-half), 2 * math.exp(half)))


def test_a_gain_that_fades_is_said_and_one_that_stays_is_not() -> None:
    rungs = example_ladder({"steady": 1.5, "fading": fading}, sd=0.0005, seeds=6)
    steady, fades = climbs(rungs)
    assert "Its gain fades with scale: each doubling of compute multiplies its worth by 0.9" in trend_text(fades)
    assert "No change of its worth with scale is shown" in trend_text(steady)
    assert "slopes over log compute differ" in slope_text(steady), "every gap narrows on a curve that flattens"
    assert steady.slope is not None
    assert steady.slope.slope > 0
    grows = climb(example_ladder({"a": lambda c: 1 / fading(c)}, sd=0.0005, seeds=6), "a")
    assert "It catches up with scale" in trend_text(grows)


def test_beyond_twice_the_ladder_it_says_so_and_gives_the_last_rung_it_can() -> None:
    found = climb(example_ladder({"magic": 3.0}, sd=0.0), "magic")
    told = sentences(found)
    assert "magic at 8e+12 FLOPs: no compute multiplier, the baseline would need" in told[0]
    assert "beyond 2 times the ladder" in told[0]
    assert "At the largest rung that has one, magic is worth 3" in told[1]
    assert "at 4e+12 FLOPs" in told[1]
    nowhere = climb(example_ladder({"magic": 100.0}, sd=0.0), "magic")
    assert "not known: fewer than two rungs" in trend_text(nowhere)


def test_a_lost_run_takes_its_seed_out_at_every_rung_and_is_told() -> None:
    rungs = example_ladder({"norm=rms": GAIN})
    found = climb([rungs[0], without(rungs[1], "norm=rms", 2), *rungs[2:]], "norm=rms")
    assert found.seeds == [0, 1, 3]
    assert found.lost == [2]
    assert "Left out at every rung, because a run is missing at some: seed 2." in sentences(found)
    gone = rungs[1]
    for seed in range(4):
        gone = without(gone, "norm=rms", seed)
    found = climb([rungs[0], gone, *rungs[2:]], "norm=rms")
    assert found.labels == ["1e+12", "4e+12", "8e+12"], "a rung without a pair is left out instead"
    assert found.seeds == [0, 1, 2, 3]


def test_too_little_is_a_sentence() -> None:
    rungs = example_ladder({"norm=rms": GAIN})
    found = climb(rungs[:1], "norm=rms")
    assert headline(found) == (
        "norm=rms: no compute multiplier, norm=rms and gpt2 finished a common seed at 1 of the rungs, and a multiplier "
        "needs two"
    )
    assert sentences(found) == [f"{headline(found)}."]
    one = climb(example_ladder({"norm=rms": GAIN}, seeds=1), "norm=rms")
    assert "no interval (an interval over whole seeds needs at least 3, got 1; run more seeds)" in headline(one)
    assert "without an interval" in trend_text(one)


def test_ranks_and_signs() -> None:
    rungs = example_ladder({"a": 1.5, "b": 0.7, "crossing": lambda c: 2.0 if c < 3e12 else 0.5}, sd=0.0)
    first, _, last, whole = ranks(rungs)
    assert first.stability is not None
    assert first.stability.kendall == pytest.approx(1)
    assert last.stability is not None
    assert whole.stability is not None
    assert whole.stability.kendall is not None
    assert whole.stability.kendall < 1
    assert (whole.smaller, whole.larger) == ("1e+12", "8e+12")
    assert "Kendall's tau +0.00 over 4 arms" in rank_text(whole)
    a, _, crossing = climbs(rungs)
    assert sign_text(a) == "The mean loss of a is below gpt2's at every rung."
    assert "below gpt2's at 1e+12 and 2e+12, and not at 4e+12 and 8e+12" in sign_text(crossing)
    assert "ranks need 3 arms" in rank_text(ranks(example_ladder({"a": 1.5}))[0])
    assert headlines(climbs(rungs), 4).startswith("3 arms against gpt2 over 4 rungs: ")


def test_no_flops_are_given_away_by_a_mismatch() -> None:
    """An arm that was given 10 % more compute and turned it into loss as the baseline would is worth nothing more."""
    rungs = example_ladder({"same": 1.1}, sd=0.0)

    def richer(rung: Rung) -> Rung:
        study = rung.study
        arms = [
            dataclasses.replace(a, training_flops=a.training_flops * (1.1 if a.name == "same" else 1))
            for a in study.arms
        ]
        return dataclasses.replace(rung, study=dataclasses.replace(study, arms=arms))

    found = climb([richer(rung) for rung in rungs], "same")
    assert [m.multiplier for m in found.worth["FLOPs"]] == pytest.approx([1.0] * 4, rel=0.01)
