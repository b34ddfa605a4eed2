"""The arithmetic of time to verdict, against the tests that give the intervals. What is measured is not tested here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.analyse.statistics import paired_t
from harness.analyse.welch import welch_t
from tests.benchmarks import time_to_verdict
from tests.benchmarks.race_training import COMPILED, EAGER, PEER, PEER_TWICE
from tests.benchmarks.time_to_verdict import (
    PAIRS,
    QUESTIONS,
    Speeds,
    Spread,
    measured,
    pairs_in,
    pairs_of,
    seeds_for,
    shown,
    ways,
)
from tests.benchmarks.turns import ROOT

SPREAD = Spread(
    sampled=(1.0, 1.02, 1.01, 1.03),
    whole=(1.0, 1.01, 1.02, 1.02),
    pairs=dict.fromkeys(QUESTIONS, ((1.0, 1.01), (1.02, 1.025), (1.01, 1.02), (1.03, 1.038))),
)


def sample(n: int, sd: float) -> np.ndarray:
    """n values of exactly this standard deviation."""
    values = np.arange(n) - (n - 1) / 2
    return values * sd / values.std(ddof=1)


@pytest.mark.parametrize("sd", [0.002, 0.006, 0.01])
def test_the_seeds_are_the_fewest_whose_interval_is_narrow_enough(sd: float) -> None:
    n = seeds_for(sd, 0.003, paired=True)
    halves = [np.ptp(paired_t(list(sample(k, sd))).ci) / 2 for k in (n - 1, n)]
    assert halves[0] > 0.003 >= halves[1]


@pytest.mark.parametrize("sd", [0.004, 0.01])
def test_so_they_are_unpaired(sd: float) -> None:
    n = seeds_for(np.sqrt(2) * sd, 0.003, paired=False)
    halves = [np.ptp(welch_t(list(sample(k, sd)), list(sample(k, sd))).ci) / 2 for k in (n - 1, n)]
    assert halves[0] > 0.003 >= halves[1]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_study_is_read_as_its_report_does(question: str, tmp_path: Path) -> None:
    (folder,) = (ROOT / "reports" / "examples").glob(f"{question}_*")
    (comparison,) = json.loads((folder / "comparisons.json").read_text())["comparisons"]
    lines = tmp_path / "pairs.jsonl"
    lines.write_text("\n".join(json.dumps(line) for line in pairs_of(folder)))
    found = paired_t([variant - baseline for baseline, variant in pairs_in(lines, question)])
    assert found.ci == pytest.approx(comparison["ci95"])


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_committed_losses_begin_with_those_of_the_committed_study(question: str) -> None:
    (folder,) = (ROOT / "reports" / "examples").glob(f"{question}_*")
    pairs = [(line["baseline"], line["variant"]) for line in pairs_of(folder)]
    assert list(pairs_in(PAIRS, question))[: len(pairs)] == pairs


def test_a_part_is_what_changes_between_two_ways() -> None:
    speeds = Speeds(
        hand=0.01, hand_two=0.015, eager=0.01, compiled=0.005, hand_once=2.0, validation=3.0, rest=1.0, start=5.0
    )
    by = {way.name: way for way in ways(speeds, SPREAD)}
    hand, kept = by["by hand"], by["the baseline kept"]
    assert (kept.runs / hand.runs, kept.seeds) == (3 / 4, hand.seeds)  # two questions of two arms, one of them shared
    pairs, at_once = by["seeds in pairs"], by["two runs at once"]
    assert pairs.runs == 3 * pairs.seeds[0]
    assert at_once.seconds / pairs.seconds == pytest.approx((4068 * 0.015 + 5) / (2 * (4068 * 0.01 + 5)))
    assert by["eager"].seconds == pytest.approx(pairs.runs / 2 * (4068 * 0.01 + 4) + 2 * 5)
    assert f"eager {hand.seconds / by['eager'].seconds:.1f}" in shown(list(by.values()), SPREAD)


def test_pairing_counts_what_the_two_runs_have_in_common() -> None:
    assert SPREAD.paired(QUESTIONS[0]) == pytest.approx(np.std([0.01, 0.005, 0.01, 0.008], ddof=1))
    baseline, variant = zip(*SPREAD.pairs[QUESTIONS[0]], strict=True)
    assert SPREAD.unpaired(QUESTIONS[0]) ** 2 == pytest.approx(np.var(baseline, ddof=1) + np.var(variant, ddof=1))


def test_seconds_are_those_of_one_run_also_where_two_go_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {PEER: 10_000.0, PEER_TWICE: 16_000.0, EAGER: 20_000.0, COMPILED: 32_000.0}
    said = {
        "tests.benchmarks.race_trainer": {"validation": 3.0, "rest": 0.5},
        "tests.benchmarks.by_hand": {"seconds": 5.0, "steps": 200, "median_step_ms": 10.0},
    }
    monkeypatch.setattr(
        time_to_verdict, "raced", lambda *_: {name: {"tokens_per_second": rate} for name, rate in rates.items()}
    )
    monkeypatch.setattr(time_to_verdict, "_output", lambda *command: json.dumps(said[command[1]]))
    monkeypatch.setattr(time_to_verdict, "_seconds", lambda *command: 2.0)
    assert measured(12) == Speeds(
        hand=0.0512, hand_two=0.064, eager=0.0512, compiled=0.032, hand_once=5.0, validation=3.0, rest=0.5, start=4.0
    )
