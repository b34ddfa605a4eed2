"""Rankings under several regimes: flips are named, and nothing is better without qualification unless it is."""

from __future__ import annotations

import dataclasses

import pytest

from harness.analyse.comparison import compare
from harness.analyse.regimes import RegimeRow, Verdict, does_not_lose, regime_rows, verdicts
from harness.records.example import example_runs, example_study
from harness.records.record import RegimeRecord, StudyRecord, StudyRun

ARM = "activation=swiglu"
BASE = [1.60, 1.61, 1.62, 1.63]
BETTER = [1.55, 1.562, 1.57, 1.581]
WORSE = [1.65, 1.66, 1.672, 1.68]
SAME = [1.601, 1.609, 1.621, 1.629]
OPEN = [1.50, 1.70, 1.55, 1.70]


def record(regime: str, mismatch: float = 0.001, refused: str = "") -> RegimeRecord:
    name = ARM if regime == "flops" else f"{ARM} @{regime}"
    if refused:
        return RegimeRecord(ARM, regime, name, refused, 0.005)
    params = {"total": 1000, "active": 1000}
    return RegimeRecord(ARM, regime, name, "", 0.005, mismatch, 128, params, 1_590_000, 1e12)


def rows_of(values: dict[str, list[float]], *more: RegimeRecord, mismatch: float = 0.001) -> list[RegimeRow]:
    """The rows of an arm whose losses are known by regime."""
    records = [record(regime, mismatch) for regime in values]
    study = dataclasses.replace(example_study(["gpt2", ARM]), regimes=[*records, *more])
    runs = example_runs({"gpt2": BASE, **({ARM: values["flops"]} if "flops" in values else {})})
    names = [r.name for r in records if r.regime != "flops"]
    beside: StudyRecord = example_study(["gpt2", *names])
    other: list[StudyRun] = example_runs({"gpt2": BASE, **{r.name: values[r.regime] for r in records[1:]}})
    return regime_rows(study, runs, compare(study, runs), other, compare(beside, other))


def verdict_of(values: dict[str, list[float]], *more: RegimeRecord) -> Verdict:
    (verdict,) = verdicts(rows_of(values, *more))
    return verdict


def test_a_flip_is_named() -> None:
    found = verdict_of({"flops": BETTER, "tokens": BETTER, "time": WORSE})
    assert found.flips
    assert found.standings == f"{ARM} wins on FLOPs and tokens, loses on seconds: the ranking flips."
    assert found.words == f"{ARM} is BETTER than gpt2 under equal FLOPs, and loses on seconds"


@pytest.mark.parametrize(
    ("time", "words"),
    [
        (BETTER, "BETTER than gpt2, without qualification"),
        (SAME, "BETTER than gpt2, without qualification"),
        (WORSE, "BETTER than gpt2 under equal FLOPs, and loses on seconds"),
        (OPEN, "BETTER than gpt2 under equal FLOPs; whether it loses on seconds is open"),
    ],
)
def test_better_without_qualification_needs_the_clock(time: list[float], words: str) -> None:
    assert verdict_of({"flops": BETTER, "time": time}).words == f"{ARM} is {words}"


@pytest.mark.parametrize(("flops", "word"), [(SAME, "EQUIVALENT to"), (WORSE, "WORSE than")])
def test_a_win_on_seconds_does_not_make_it_better(flops: list[float], word: str) -> None:
    found = verdict_of({"flops": flops, "time": BETTER})
    assert found.words == f"{ARM} is {word} gpt2 under equal FLOPs, and wins on seconds"
    assert found.flips == (flops is WORSE)


def test_a_regime_that_cannot_be_matched_is_a_row_and_the_others_go_on() -> None:
    rows = rows_of({"flops": BETTER, "tokens": BETTER}, record("time", refused="a step is too long"))
    assert [row.standing for row in rows] == ["wins", "wins", "not ranked"]
    assert rows[-1].reason == "a step is too long"
    assert verdicts(rows)[0].words.endswith("whether it loses on seconds is open")


def test_no_ranking_beyond_tolerance() -> None:
    rows = rows_of({"flops": BETTER, "time": BETTER}, mismatch=-0.006)
    assert {row.standing for row in rows} == {"not ranked"}
    assert rows[0].reason == "not ranked: FLOPs differ by -0.60 %, and the tolerance is 0.5 %"
    assert verdicts(rows)[0].words == f"{ARM}: NO VERDICT under equal FLOPs"


def test_runs_that_are_not_there_yet() -> None:
    study = dataclasses.replace(example_study(["gpt2", ARM]), regimes=[record("flops"), record("time")])
    runs = example_runs({"gpt2": BASE, ARM: BETTER})
    rows = regime_rows(study, runs, compare(study, runs))
    assert [row.standing for row in rows] == ["wins", "not ranked"]
    assert "not there yet" in rows[1].reason


def test_the_very_same_runs_are_said_to_be() -> None:
    study = dataclasses.replace(example_study(["gpt2", ARM]), regimes=[record("flops"), record("tokens")])
    runs = example_runs({"gpt2": BASE, ARM: BETTER})
    twins = [dataclasses.replace(run, arm=f"{ARM} @tokens") for run in runs if run.arm == ARM]
    other = example_study(["gpt2", f"{ARM} @tokens"])
    beside = [*runs[:4], *twins]
    rows = regime_rows(study, runs, compare(study, runs), beside, compare(other, beside))
    assert [row.same_as for row in rows] == ["", "flops"]
    assert rows[0].seconds == 1.0


def test_the_other_regimes_are_one_family() -> None:
    """Holm over three comparisons: the smallest p-value is multiplied by three, that of equal FLOPs by one."""
    rows = rows_of({"flops": BETTER, "params": SAME, "tokens": OPEN, "time": BETTER})
    by = {row.regime: row.comparison for row in rows}
    assert by["flops"] is not None
    assert by["time"] is not None
    assert by["flops"].p_adjusted == by["flops"].p_value
    assert by["time"].p_adjusted == pytest.approx(3 * (by["time"].p_value or 0))


def test_not_losing_is_shown_and_not_assumed() -> None:
    study = example_study()

    def lost(arm: list[float | None]) -> bool:
        return does_not_lose(compare(study, example_runs({"gpt2": BASE, "norm=rms": arm}))[0])

    assert lost([*BETTER])
    assert lost([*SAME])
    assert not lost([*OPEN])
    assert not lost([*BETTER[:3], None]), "a run that diverged leaves it open"
    assert not does_not_lose(None)
