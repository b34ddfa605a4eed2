"""Verdicts: each word where it is due, none where the runs do not carry it, and a sentence that says why."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence

import pytest
from scipy import stats

from harness.analyse.comparison import Comparison, compare, to_json
from harness.records.example import example_run, example_runs, example_study
from harness.records.record import StudyRun
from variants.errors import UserError

BASE = [1.650, 1.655, 1.648, 1.652]


def shifted(*differences: float | None) -> list[float | None]:
    return [None if d is None else b + d for b, d in zip(BASE, differences, strict=True)]


def compared(*arms: Sequence[float | None], baseline: Sequence[float | None] = BASE) -> list[Comparison]:
    """Arms named a0, a1, ... against gpt2; None is a run that diverged."""
    values = {"gpt2": baseline, **{f"a{i}": arm for i, arm in enumerate(arms)}}
    return compare(example_study(tuple(values), range(len(baseline))), example_runs(values))


def test_the_numbers_are_those_of_the_paired_test() -> None:
    (c,) = compared(shifted(0.002, 0.004, 0.003, 0.001))
    reference = stats.ttest_rel(shifted(0.002, 0.004, 0.003, 0.001), BASE)
    assert (c.arm, c.baseline, c.score, c.unit, c.direction) == (
        "a0",
        "gpt2",
        "nats_per_byte",
        "nats per byte",
        "lower",
    )
    assert (c.num_seeds, c.num_planned, c.margin) == (4, 4, 0.01)
    assert c.baseline_mean == pytest.approx(1.65125)
    assert c.arm_mean == pytest.approx(1.65375)
    assert c.mean_difference == pytest.approx(0.0025)
    assert c.ci95 == pytest.approx(tuple(reference.confidence_interval()), abs=1e-9)
    assert c.p_value == pytest.approx(reference[1])
    assert c.p_adjusted == c.p_value
    assert c.sd_difference == pytest.approx(0.00129, abs=1e-5)
    assert c.smallest_effect == pytest.approx(2.128 * 0.001291, abs=1e-5)
    assert c.correlation == pytest.approx(stats.pearsonr(BASE, shifted(0.002, 0.004, 0.003, 0.001))[0])
    assert c.probability_better is not None
    assert c.probability_better < 0.05
    assert c.pairs[1] == [1, 1.655, pytest.approx(1.659)]


def test_equivalent() -> None:
    (c,) = compared(shifted(0.001, -0.001, 0.002, -0.0015))
    assert c.verdict == "equivalent"
    assert c.reason.startswith(
        "any difference is smaller than the margin of 0.01 nats per byte (two one-sided t-tests, p"
    )


def test_equivalent_though_a_difference_is_seen() -> None:
    (c,) = compared(shifted(0.003, 0.0032, 0.0031, 0.0029))
    assert c.verdict == "equivalent"
    assert c.reason.startswith("a difference is seen, and it is smaller than the margin of 0.01 nats per byte")


@pytest.mark.parametrize(("sign", "word"), [(-1, "better"), (1, "worse")])
def test_better_and_worse(sign: int, word: str) -> None:
    (c,) = compared(shifted(*(sign * d for d in (0.040, 0.042, 0.039, 0.041))))
    assert c.verdict == word
    assert c.reason.endswith("its 95 % interval lies wholly beyond the margin of 0.01 nats per byte")
    (near,) = compared(shifted(*(sign * d for d in (0.010, 0.014, 0.009, 0.013))))
    assert near.verdict == word
    assert near.reason.endswith("but a difference smaller than the margin of 0.01 nats per byte is not ruled out")


def test_inconclusive_says_what_could_have_been_seen_and_what_would_be_needed() -> None:
    (c,) = compared(shifted(0.02, -0.03, 0.025, 0.01))
    assert c.verdict == "inconclusive"
    assert "neither a difference nor equivalence is shown; 4 seeds could have shown a difference of 0.05" in c.reason
    assert "seeds would be needed if the true difference is the one seen" in c.reason
    (hopeless,) = compared(shifted(0.9, -0.9, 0.9, -0.88))
    assert "more than 1,000 seeds would be needed" in hopeless.reason


def test_more_seeds_are_always_asked_for_than_there_are() -> None:
    rng = random.Random(3)
    asked = 0
    for _ in range(150):
        (c,) = compared([b + rng.gauss(0.005, 0.006) for b in BASE])
        if c.verdict == "inconclusive" and "about" in c.reason:
            asked += 1
            assert int(c.reason.split("about ")[1].split()[0].replace(",", "")) > 4
    assert asked > 20


def test_equal_bits_are_equivalent() -> None:
    (c,) = compared(BASE)
    assert (c.verdict, c.mean_difference, c.ci95, c.sd_difference) == ("equivalent", 0, (0, 0), 0)
    assert (c.p_value, c.p_equivalence, c.probability_better, c.effect_size) == (1, 0, 0.5, None)


def test_several_arms_are_one_family() -> None:
    null = shifted(0.01, -0.02, 0.015, -0.01)
    edge = shifted(-0.020, -0.028, -0.042, -0.030)
    (alone,) = compared(edge)
    assert alone.verdict == "better"
    family = compared(edge, *[null] * 20)
    assert family[0].p_value == alone.p_value
    assert family[0].p_adjusted == pytest.approx(21 * (alone.p_value or 0))
    assert family[0].verdict == "inconclusive"
    assert "leaves out zero, but the correction for 21 comparisons does not allow a verdict" in family[0].reason
    assert (family[0].smallest_effect or 0) > (alone.smallest_effect or 0)


def test_one_seed_gives_no_verdict() -> None:
    (c,) = compared([1.60], baseline=[1.65])
    assert (c.verdict, c.ci95, c.p_value, c.smallest_effect) == (None, None, None, None)
    assert c.mean_difference == pytest.approx(-0.05)
    assert c.reason == "1 seed has no spread to judge a difference by; run the command with more seeds"
    (diverged,) = compared([None], baseline=[1.65])
    assert diverged.verdict is None
    assert "a0 diverged on seed 0" in diverged.reason


def test_a_diverged_run_leaves_the_numbers_and_takes_the_verdict() -> None:
    rest = shifted(None, -0.042, -0.039, -0.041)
    (c,) = compared(rest)
    assert c.verdict == "inconclusive"
    assert c.reason == "a0 diverged on seed 0; the seeds left over are a selection, and no verdict is drawn from them"
    assert (c.num_seeds, c.num_planned) == (3, 4)
    assert c.mean_difference == pytest.approx(-0.0407, abs=1e-4)
    assert c.ci95 is not None
    assert c.ci95[1] < 0


def test_a_diverged_baseline_takes_every_verdict() -> None:
    baseline = [1.65, None, 1.648, None]
    for c in compared(shifted(-0.04, -0.042, -0.039, None), shifted(0, 0, 0, 0), baseline=baseline):
        assert c.verdict == "inconclusive"
        assert c.reason.startswith("gpt2 diverged on seeds 1 and 3; ")
    assert "a0 diverged on seed 3" in compared(shifted(-0.04, -0.042, -0.039, None), baseline=baseline)[0].reason


def test_an_arm_that_always_diverges_is_worse() -> None:
    always, fine = compared([None] * 4, shifted(0.001, -0.001, 0.002, -0.0015))
    assert (always.verdict, always.mean_difference, always.ci95, always.p_adjusted) == ("worse", None, None, None)
    assert always.reason.startswith("a0 diverged on every one of 4 seeds and gpt2 on none")
    assert fine.verdict == "equivalent", "an arm without a test is not counted in the correction"
    assert fine.p_adjusted == fine.p_value
    (both,) = compared([None] * 4, baseline=[None, *BASE[1:]])
    assert both.verdict == "inconclusive"


def test_a_failed_run_and_a_run_without_the_score() -> None:
    study = example_study(seeds=(0, 1, 2))
    runs = [example_run("gpt2", s, 1.65 + s / 100) for s in range(3)]
    failed = [example_run("norm=rms", 0, None, "failed", "killed"), *(example_run("norm=rms", s, 1.6) for s in (1, 2))]
    (c,) = compare(study, runs + failed)
    assert (c.verdict, c.num_seeds) == ("inconclusive", 2)
    assert c.reason.startswith("norm=rms failed on seed 0; ")
    for lacking in (example_run("norm=rms", 0, None), example_run("norm=rms", 0, math.inf)):
        (c,) = compare(study, [*runs, lacking, *failed[1:]])
        assert c.verdict == "inconclusive"
        assert c.reason.startswith("norm=rms finished without this score on seed 0; ")


def test_an_interrupted_study_gives_numbers_and_no_word() -> None:
    study = example_study(seeds=range(8))
    runs = example_runs({"gpt2": BASE, "norm=rms": shifted(-0.040, -0.042, -0.039, -0.041)})
    (c,) = compare(study, runs)
    assert (c.verdict, c.num_seeds) == ("inconclusive", 4)
    assert c.ci95 is not None
    assert c.reason == (
        "8 runs are missing (4 of gpt2, 4 of norm=rms): 4 of 8 planned pairs are complete; "
        "run the command again to finish the study"
    )
    (c,) = compare(study, [run for run in runs if run.arm == "gpt2" or run.seed == 0])
    assert (c.verdict, c.num_seeds) == (None, 1)
    assert c.reason.startswith("11 runs are missing (4 of gpt2, 7 of norm=rms): 1 of 8 planned pairs are complete")
    (c,) = compare(study, [])
    assert (c.verdict, c.mean_difference, c.num_seeds) == (None, None, 0)


def test_a_study_of_the_baseline_alone_compares_nothing() -> None:
    assert compare(example_study(("gpt2",)), example_runs({"gpt2": BASE})) == []


def test_other_scores() -> None:
    runs = example_runs({"gpt2": BASE, "norm=rms": shifted(0.003, 0.0032, 0.0031, 0.0029)})
    (bits,) = compare(example_study(), runs, "bits_per_byte")
    assert (bits.unit, bits.verdict) == ("bits per byte", "equivalent")
    assert bits.margin == pytest.approx(0.01 / math.log(2))
    (perplexity,) = compare(example_study(), runs, "perplexity")
    assert (perplexity.margin, perplexity.p_equivalence, perplexity.verdict) == (None, None, "worse")
    with pytest.raises(UserError, match="did you mean 'perplexity'"):
        compare(example_study(), runs, "perplexty")


def test_no_margin_means_no_equivalence() -> None:
    (c,) = compare(example_study(margin=0.0), example_runs({"gpt2": BASE, "norm=rms": BASE}))
    assert (c.margin, c.p_equivalence, c.verdict) == (None, None, "inconclusive")


def test_a_comparison_is_json() -> None:
    for c in compared(BASE, [None] * 4, shifted(0.02, -0.03, 0.025, 0.01)):
        assert json.loads(json.dumps(to_json(c), allow_nan=False))["reason"] == c.reason


def test_an_a_a_study_is_rarely_told_apart() -> None:
    """The whole pipeline on arms that are the baseline: a wrong word in at most 5 % of studies."""
    rng = random.Random(0)
    study = example_study(("gpt2", "a", "b", "c"))

    def one_study() -> list[StudyRun]:
        return example_runs({arm: [1.65 + rng.gauss(0, 0.02) for _ in range(4)] for arm in ("gpt2", "a", "b", "c")})

    wrong = sum(any(c.verdict in ("better", "worse") for c in compare(study, one_study())) for _ in range(300))
    assert wrong / 300 < 0.08
