"""Tables, curves, forest and sentences: the numbers a report shows, before it is drawn."""

from __future__ import annotations

import dataclasses

import pandas
import pytest

from harness.analyse import sentences, tables, text
from harness.analyse.comparison import compare
from harness.analyse.curves import MOST_POINTS, curves
from harness.analyse.forest import forest
from harness.records.example import example_run, example_runs, example_study

BASE = [1.650, 1.655, 1.648, 1.652]
VALUES = {
    "gpt2": BASE,
    "good": [b - d for b, d in zip(BASE, (0.040, 0.042, 0.039, 0.041), strict=True)],
    "same": [b + d for b, d in zip(BASE, (0.001, -0.001, 0.002, -0.0015), strict=True)],
    "bad": [b + d for b, d in zip(BASE, (0.050, 0.052, 0.049, 0.051), strict=True)],
    "gone": [None] * 4,
}
STUDY = example_study(tuple(VALUES))
RUNS = example_runs(VALUES)
COMPARISONS = compare(STUDY, RUNS)


def test_arms() -> None:
    rows = tables.arm_rows(STUDY)
    assert [row.arm.name for row in rows] == list(VALUES)
    assert rows[0].more_params == 0
    assert rows[1].more_params == pytest.approx(96 / 123456)
    assert len(pandas.DataFrame(rows)) == 5


def test_results_are_worst_first_under_the_baseline() -> None:
    rows = tables.result_rows(STUDY, RUNS, COMPARISONS)
    assert [row.arm for row in rows] == ["gpt2", "gone", "bad", "same", "good"]
    loss = rows[0].scores["nats_per_byte"]
    assert loss is not None
    assert (loss.mean, loss.sd, loss.n) == (pytest.approx(1.65125), pytest.approx(0.002986, abs=1e-6), 4)
    assert (rows[1].scores["perplexity"], rows[1].num_finished, rows[1].num_planned) == (None, 0, 4)
    assert tables.spread([1.5]) == tables.Spread(1.5, None, 1)


def test_seeds_and_unfinished_runs() -> None:
    rows = tables.seed_rows(STUDY, RUNS[:-1])
    assert rows[0].values == dict(enumerate(BASE))
    assert rows[-1].lacking == {0: "diverged", 1: "diverged", 2: "diverged", 3: "missing"}
    unfinished = tables.unfinished_rows(RUNS)
    assert [(row.arm, row.seed) for row in unfinished] == [("gone", seed) for seed in range(4)]
    assert unfinished[0].reason == "the loss was not finite at step 400"


def test_totals_count_what_was_trained_now() -> None:
    reused = [dataclasses.replace(run, reused=run.arm == "gpt2") for run in RUNS]
    assert tables.totals(STUDY, reused) == tables.Totals(20, 20, 4, 16 * 24.0)
    assert tables.summary(STUDY, reused) == "20 runs, 4 reused, 6 min 24 s of training"
    assert tables.summary(STUDY, RUNS[:3]) == "3 of 20 planned runs, 0 reused, 1 min 12 s of training"


def test_the_setup_card() -> None:
    card = dict(tables.setup_card(STUDY, RUNS))
    assert card["question"] == "4 arms against gpt2"
    assert card["data"] == "name made up, sha256 abababababababab…, tokenizer bytes, vocab_size 257"
    assert card["margin of equivalence"].startswith("0.01 nats per byte")


def test_verdict_sentences() -> None:
    good, same, bad, gone = map(sentences.verdict_sentence, COMPARISONS)
    assert good == "good is BETTER than gpt2: -0.0405 nats per byte [-0.0426, -0.0384], 4 paired seeds"
    assert same == "same is EQUIVALENT to gpt2 within 0.01 nats per byte: +0.0001 [-0.0025, +0.0028], 4 paired seeds"
    assert bad.startswith("bad is WORSE than gpt2: +0.0505")
    assert gone == "gone is WORSE than gpt2: no difference measured, no pair of runs finished"
    (open_,) = compare(example_study(), example_runs({"gpt2": BASE, "norm=rms": [1.67, 1.62, 1.66, 1.651]}))
    assert sentences.verdict_sentence(open_).startswith(
        "norm=rms against gpt2 is INCONCLUSIVE: -0.0010 nats per byte ["
    )
    (one,) = compare(example_study(seeds=(0,)), example_runs({"gpt2": [1.65], "norm=rms": [1.64]}))
    assert sentences.verdict_sentence(one) == (
        "norm=rms against gpt2: NO VERDICT: -0.0100 nats per byte (no interval), 1 paired seed"
    )


def test_headlines() -> None:
    assert sentences.headline(STUDY, COMPARISONS) == "4 arms against gpt2: 1 better, 1 equivalent, 2 worse"
    assert sentences.headline(STUDY, COMPARISONS[:1]) == "good is BETTER than gpt2"
    assert sentences.headline(example_study(("gpt2",)), []) == "No comparison: gpt2 is the only arm"


def test_curves_are_a_band_of_finished_runs_and_a_line_of_each_other() -> None:
    drawn = {curve.arm: curve for curve in curves(STUDY, RUNS)}
    assert drawn["gpt2"].is_baseline
    assert drawn["gpt2"].band == (drawn["gpt2"].mean, drawn["gpt2"].mean), "all example runs share one curve"
    assert drawn["gpt2"].unfinished == []
    assert (len(drawn["gone"].unfinished), drawn["gone"].mean, drawn["gone"].band) == (4, None, None)
    assert curves(STUDY, []) == []


def test_long_broken_and_empty_curves() -> None:
    run = example_run("gpt2", 0, 1.65)
    long = [[step, step * 1e9, 2.0] for step in range(1, 1042)]
    rows = [[0, 0.0, 5.0], *long[:5], [6, 6e9, None], [7, 7e9, float("inf")]]
    for curve, points in ((long, MOST_POINTS), (rows, 5), ([], 0)):
        record = dataclasses.replace(run.record, curve=curve)  # type: ignore[arg-type] # None is what a file gives
        drawn = curves(STUDY, [dataclasses.replace(run, record=record)])
        assert sum(len(one.mean.xs) for one in drawn if one.mean) <= points
        if points:
            assert drawn[0].mean is not None
            assert drawn[0].mean.xs[-1] == (1041e9 if curve is long else 5e9)


def test_the_mean_is_over_the_steps_all_finished_runs_have() -> None:
    one, two = example_run("gpt2", 0, 1.65), example_run("gpt2", 1, 1.65)
    runs = [
        dataclasses.replace(one, record=dataclasses.replace(one.record, curve=[[1, 1e9, 4.0], [2, 2e9, 3.0]])),
        dataclasses.replace(two, record=dataclasses.replace(two.record, curve=[[2, 2e9, 5.0], [3, 3e9, 1.0]])),
    ]
    (drawn,) = curves(STUDY, runs)
    mean, timed = drawn.mean, drawn.over_time
    assert drawn.band is not None
    assert [line.losses for line in drawn.band] == [[3.0], [5.0]]
    assert mean is not None
    assert timed is not None
    assert (mean.xs, mean.losses) == ([2e9], [4.0])
    assert (timed.xs, timed.losses) == ([24.0], [4.0]), "24 s for the first run's 2e9 FLOPs"


def test_the_forest_is_worst_first_and_no_arm_stretches_it() -> None:
    data = forest(COMPARISONS)
    assert data is not None
    assert [row.arm for row in data.rows] == ["gone", "bad", "same", "good"]
    low, high = data.limits
    assert low < -0.0426 < 0.0526 < high < 0.1
    wild = dataclasses.replace(COMPARISONS[0], mean_difference=50.0, ci95=(-1.0, 100.0))
    stretched = forest([*COMPARISONS, wild])
    assert stretched is not None
    assert stretched.limits[1] < 1
    assert forest([]) is None


def test_the_forest_of_nothing_measured_still_shows_the_margin() -> None:
    for margin in (0.01, None):
        empty = forest([dataclasses.replace(COMPARISONS[-1], margin=margin)])
        assert empty is not None
        assert empty.limits[0] < -(margin or 0) <= (margin or 0) < empty.limits[1]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (text.signed(-0.00001), "+0.0000"),
        (text.signed(None), "n/a"),
        (text.number(1.23456), "1.2346"),
        (text.number(4.2e9), "4.2e+09"),
        (text.interval(None), "no interval"),
        (text.p_text(0.0), "< 0.0001"),
        (text.p_text(0.0123), "0.012"),
        (text.p_text(0.5), "0.50"),
        (text.probability(0.99999), "> 0.999"),
        (text.probability(1.0), "1"),
        (text.count(1, "seed"), "1 seed"),
        (text.seeds([1, 3, 5]), "seeds 1, 3 and 5"),
        (text.listing([]), "none"),
        (text.duration(59.6), "1 min 00 s"),
        (text.duration(7500), "2 h 05 min"),
    ],
)
def test_numbers_as_words(shown: str, expected: str) -> None:
    assert shown == expected
