"""The tables of a report as plain rows, numbers not yet text. `pandas.DataFrame(rows)` takes any of them."""

from __future__ import annotations

import statistics as stdlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.analyse.comparison import Comparison
from harness.analyse.looks import due, looks_of
from harness.analyse.outcomes import Outcomes, by_arm, outcomes
from harness.analyse.scores import PRIMARY, SCORES
from harness.analyse.screening import screening_seeds
from harness.analyse.statistics import mean
from harness.analyse.text import count, duration, listing, plain, seeds
from harness.records.record import ArmRecord, StudyRecord, StudyRun


@dataclass(frozen=True)
class Spread:
    """A mean over seeds with its standard deviation (n - 1), None for one seed."""

    mean: float
    sd: float | None
    n: int


@dataclass(frozen=True)
class ArmRow:
    """What an arm is and what it spent. `more_params` is (arm - baseline) / baseline, of the total."""

    arm: ArmRecord
    more_params: float | None

    @property
    def num_embedding(self) -> int | None:
        """Parameters of tables that are looked up."""
        counts = self.arm.num_params
        return counts["total"] - counts["non_embedding"] if {"total", "non_embedding"} <= set(counts) else None


@dataclass(frozen=True)
class ResultRow:
    """What an arm scored over all the seeds it finished, and its comparison; the baseline has none."""

    arm: str
    num_finished: int
    num_planned: int
    scores: dict[str, Spread | None]  # by score name
    comparison: Comparison | None


@dataclass(frozen=True)
class UnfinishedRow:
    """A run that diverged or failed, and why."""

    arm: str
    seed: int
    status: str
    reason: str


@dataclass(frozen=True)
class Totals:
    """How many runs the study has, how many of them were trained before, and the hours of the others."""

    num_planned: int
    num_runs: int
    num_reused: int
    seconds: float


def arm_rows(study: StudyRecord) -> list[ArmRow]:
    """The arms in the study's order, the baseline first."""
    base = next(arm for arm in study.arms if arm.name == study.baseline).num_params.get("total")
    return [ArmRow(arm, arm.num_params["total"] / base - 1 if base else None) for arm in study.arms]


def seed_rows(study: StudyRecord, runs: Sequence[StudyRun], score: str = PRIMARY) -> list[Outcomes]:
    """Every arm's value on every seed, or the word for why there is none."""
    mine = by_arm(runs)
    return [outcomes(study, mine.get(arm.name, ()), arm.name, score) for arm in study.arms]


def result_rows(study: StudyRecord, runs: Sequence[StudyRun], comparisons: Sequence[Comparison]) -> list[ResultRow]:
    """The baseline, then the arms as `worst_first` puts them."""
    rows: dict[str, Comparison | None] = {study.baseline: None}
    rows |= {comparison.arm: comparison for comparison in worst_first(comparisons)}
    mine = by_arm(runs)
    return [_result(study, mine.get(arm, ()), arm, comparison) for arm, comparison in rows.items()]


def _result(study: StudyRecord, runs: Sequence[StudyRun], arm: str, comparison: Comparison | None) -> ResultRow:
    scores = {name: spread(list(outcomes(study, runs, arm, name).values.values())) for name in SCORES}
    finished = sum(run.record.status == "finished" for run in runs)
    return ResultRow(arm, finished, len(study.seeds), scores, comparison)


def spread(values: Sequence[float]) -> Spread | None:
    """Mean and standard deviation, or None of nothing."""
    average = mean(values)
    if average is None:
        return None
    return Spread(average, stdlib.stdev(values) if len(values) > 1 else None, len(values))


def worst_first(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Arms by the unfavourable end of the interval, so that no lucky mean leads; without a difference first."""

    def worst(c: Comparison) -> float:
        if c.mean_difference is None:
            return float("-inf")
        low, high = c.ci95 or (c.mean_difference, c.mean_difference)
        return -high if c.direction == "lower" else low

    return sorted(comparisons, key=worst)


def unfinished_rows(runs: Sequence[StudyRun]) -> list[UnfinishedRow]:
    """The runs that diverged or failed."""
    return [
        UnfinishedRow(run.arm, run.seed, run.record.status, run.record.reason)
        for run in runs
        if run.record.status != "finished"
    ]


def totals(study: StudyRecord, runs: Sequence[StudyRun]) -> Totals:
    """The size of the study."""
    return Totals(
        num_planned=len(due(study, runs)),
        num_runs=len(runs),
        num_reused=sum(run.reused for run in runs),
        seconds=sum(run.record.seconds for run in runs if not run.reused),
    )


def summary(study: StudyRecord, runs: Sequence[StudyRun]) -> str:
    """`8 runs, 0 reused, 3 min 12 s of training`."""
    total = totals(study, runs)
    runs_text = count(total.num_runs, "run")
    if total.num_runs < total.num_planned:
        runs_text = f"{total.num_runs} of {count(total.num_planned, 'planned run')}"
    return f"{runs_text}, {total.num_reused} reused, {duration(total.seconds)} of training"


def setup_card(study: StudyRecord, runs: Sequence[StudyRun]) -> list[tuple[str, str]]:
    """What was held equal: one (what, value) a line."""
    matched = {
        "flops": "training FLOPs",
        "params": "parameters",
        "active-params": "parameters that a token uses",
        "total-params": "all parameters",
        "tokens": "training tokens",
        "time": "measured seconds of training",
        "all": "each arm by what its name says",
    }
    others = len(study.arms) - 1
    return [
        ("question", f"{count(others, 'arm')} against {study.baseline}" if others else f"{study.baseline} alone"),
        *((("design", study.design["words"][0]),) if study.design else ()),
        ("matched by", matched.get(study.match, study.match)),
        ("budget", f"{study.budget:.3e} training FLOPs a run"),
        ("margin of equivalence", f"{plain(study.margin)} nats per byte, declared before the runs"),
        ("seeds", f"{', '.join(map(str, study.seeds))} ({_seeds(study)})"),
        ("runs", summary(study, runs)),
        ("total compute", _compute(runs)),
        *((("model", model),) if (model := _model(study)) else ()),
        ("data", _items(study.data)),
        ("recipe, the same for all arms", f"AdamW, {_items({'schedule': 'cosine', **study.recipe})}"),
        ("environment", _items(study.environment)),
    ]


def _model(study: StudyRecord) -> str:
    """The size all arms share, where the records say it."""
    (spec,) = (arm.spec for arm in study.arms if arm.name == study.baseline)
    names = {"n_layers": "layers", "d_model": "d_model", "n_heads": "heads", "seq_len": "context length"}
    return ", ".join(f"{told} {spec[name]:,}" for name, told in names.items() if name in spec)


def _compute(runs: Sequence[StudyRun]) -> str:
    """What all runs of the study took, those that diverged and those that were trained before too."""
    flops = sum(run.record.curve[-1][1] for run in runs if run.record.curve)
    seconds = sum(run.record.seconds for run in runs)
    return (
        f"{flops:.3e} training FLOPs up to the last recorded loss, {duration(seconds)} over all runs, reused ones too"
    )


def _seeds(study: StudyRecord) -> str:
    if screening_seeds(study):
        return f"{seeds(screening_seeds(study))} screened all arms, the others judged those that went on"
    looks = looks_of(study)
    return "each arm on each of them" if len(looks) < 2 else f"looks after {listing(looks)} pairs, until decided"


def _items(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef"):
        return f"{value[:16]}…"  # a SHA-256; study.json has all of it
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
