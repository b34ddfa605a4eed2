"""One contrast under every matching regime, and what may be said of an arm from all of them.

An arm is better without qualification only if it is better under equal FLOPs and does not lose under equal wall clock
(definitions 3.1). "Does not lose" is shown, not assumed: the 95 % interval excludes a loss of more than the margin, a
one-sided test of non-inferiority at 0.025.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.analyse.comparison import Comparison
from harness.analyse.statistics import mean
from harness.analyse.text import listing, plain
from harness.records.record import RegimeRecord, StudyRecord, StudyRun

NOUNS = {
    "flops": "FLOPs",
    "params": "parameters",
    "active-params": "active parameters",
    "total-params": "total parameters",
    "tokens": "tokens",
    "time": "seconds",
}
"""What is equal, as a sentence names it."""

Standing = Literal["wins", "ties", "loses", "open", "not ranked"]
_STANDINGS: dict[str | None, Standing] = {"better": "wins", "equivalent": "ties", "worse": "loses"}


@dataclass(frozen=True)
class RegimeRow:
    """An arm under a regime. `comparison` is None where it is not ranked, and `reason` says why; `same_as` is an
    earlier regime that gives the arm the very same runs. Shares are of the baseline's, `seconds` as the runs took.
    """

    arm: str
    regime: str
    record: RegimeRecord
    comparison: Comparison | None
    reason: str
    same_as: str
    tokens: float | None
    flops: float | None
    seconds: float | None

    @property
    def standing(self) -> Standing:
        return "not ranked" if self.comparison is None else _STANDINGS.get(self.comparison.verdict, "open")


@dataclass(frozen=True)
class Verdict:
    """An arm over all its regimes: the word, whether its ranking flips between two of them, and sentences."""

    arm: str
    kind: Literal["better", "worse", "equivalent", "inconclusive"]
    words: str
    flips: bool
    standings: str


def regime_rows(
    study: StudyRecord,
    runs: Sequence[StudyRun],
    comparisons: Sequence[Comparison],
    beside: Sequence[StudyRun] = (),
    others: Sequence[Comparison] = (),
) -> list[RegimeRow]:
    """The rows in the study's order.

    Args:
        runs: of the study, which is that of equal FLOPs, with its `comparisons`.
        beside: runs of the study of the other regimes, with its comparisons `others`.
    """
    found = {c.arm: c for c in (*comparisons, *others)}
    every = [*runs, *beside]
    base = next(arm for arm in study.arms if arm.name == study.baseline)
    rows: list[RegimeRow] = []
    for record in study.regimes:
        comparison = found.get(record.name)
        reason = _refusal(record, comparison)
        if reason:
            comparison = None
        rows.append(
            RegimeRow(
                arm=record.arm,
                regime=record.regime,
                record=record,
                comparison=None if comparison is None else dataclasses.replace(comparison, arm=record.arm),
                reason=reason or (comparison.reason if comparison else ""),
                same_as=_same(record, [row.record for row in rows if row.arm == record.arm], every),
                tokens=_share(record.num_tokens, base.num_tokens),
                flops=_share(record.training_flops, base.training_flops),
                seconds=_share(_seconds(every, record.name), _seconds(runs, study.baseline)),
            )
        )
    return rows


def _refusal(record: RegimeRecord, comparison: Comparison | None) -> str:
    if record.refused:
        return record.refused
    if record.mismatch is None or not abs(record.mismatch) <= record.tolerance:
        return (
            f"not ranked: {NOUNS[record.regime]} differ by {100 * (record.mismatch or 0):+.2f} %, and the tolerance is "
            f"{100 * record.tolerance:g} %"
        )
    return "" if comparison is not None else "its runs are not there yet; the study's command goes on with them"


def _same(record: RegimeRecord, earlier: Sequence[RegimeRecord], runs: Sequence[StudyRun]) -> str:
    keys = _keys(runs, record.name)
    return next((other.regime for other in earlier if keys and _keys(runs, other.name) == keys), "")


def _keys(runs: Sequence[StudyRun], name: str) -> set[str]:
    return {run.record.key for run in runs if run.arm == name}


def _seconds(runs: Sequence[StudyRun], name: str) -> float | None:
    return mean([run.record.seconds for run in runs if run.arm == name and run.record.status == "finished"])


def _share(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


def verdicts(rows: Sequence[RegimeRow]) -> list[Verdict]:
    """One an arm, in the order of the rows."""
    arms = list(dict.fromkeys(row.arm for row in rows))
    return [_verdict([row for row in rows if row.arm == arm]) for arm in arms]


def _verdict(rows: Sequence[RegimeRow]) -> Verdict:
    by = {row.regime: row for row in rows}
    main, time = by["flops"], by.get("time")
    standings = [row.standing for row in rows]
    flips = "wins" in standings and "loses" in standings
    arm = main.arm
    if main.comparison is None:
        return Verdict(arm, "inconclusive", f"{arm}: NO VERDICT under equal FLOPs", flips, _standings(arm, rows, flips))
    kind = main.comparison.verdict or "inconclusive"
    return Verdict(arm, kind, _words(main.comparison, time), flips, _standings(arm, rows, flips))


def _words(main: Comparison, time: RegimeRow | None) -> str:
    against = f"{main.arm} is {{}} {main.baseline}"
    if main.verdict == "worse":
        wins = time is not None and time.standing == "wins"
        return against.format("WORSE than") + (" under equal FLOPs, and wins on seconds" if wins else "")
    if main.verdict == "equivalent":
        return against.format("EQUIVALENT to") + " under equal FLOPs" + _on_seconds(time)
    if main.verdict != "better":
        return f"{main.arm} against {main.baseline} is INCONCLUSIVE under equal FLOPs"
    if time is not None and does_not_lose(time.comparison):
        return against.format("BETTER than") + ", without qualification"
    return against.format("BETTER than") + " under equal FLOPs" + _on_seconds(time)


def _on_seconds(time: RegimeRow | None) -> str:
    told = {"wins": ", and wins on seconds", "ties": ", and ties on seconds", "loses": ", and loses on seconds"}
    standing = "not ranked" if time is None else time.standing
    return told.get(standing, "; whether it loses on seconds is open")


def does_not_lose(c: Comparison | None) -> bool:
    """Whether the 95 % interval excludes a loss of more than the margin, from all planned runs."""
    if c is None or c.ci95 is None or c.margin is None or c.verdict is None or c.num_seeds < c.num_planned:
        return False
    worst = c.ci95[1] if c.direction == "lower" else -c.ci95[0]
    return c.verdict != "worse" and worst <= c.margin


def _standings(arm: str, rows: Sequence[RegimeRow], flips: bool) -> str:
    """`activation=swiglu wins on FLOPs and tokens, loses on seconds: the ranking flips.`"""
    groups: dict[Standing, list[str]] = {}
    for row in rows:
        groups.setdefault(row.standing, []).append(NOUNS[row.regime])
    said = {"open": "is open", "not ranked": "is not ranked"}
    order: tuple[Standing, ...] = ("wins", "ties", "loses", "open", "not ranked")
    parts = [f"{said.get(word, word)} on {listing(groups[word])}" for word in order if word in groups]
    return f"{arm} {', '.join(parts)}{': the ranking flips' if flips else ''}."


def timing_note(study: StudyRecord) -> str:
    """How the seconds were measured, and how sure their ratios are; empty where nothing was timed."""
    if not study.timing:
        return ""
    arms = study.timing["arms"][1:]
    halves = [(arm["relative_ci95"][1] - arm["relative_ci95"][0]) / 2 / arm["relative"] for arm in arms]
    ratios = listing(f"{arm['arm']} {arm['relative']:.3f}" for arm in arms)
    worst = max(halves, default=0.0)
    sure = f"each to within {100 * worst:.1f} % (95 % interval)"
    if worst > LOOSE:
        sure += "; that is loose, so a small difference under equal seconds may be one of tokens: time it on a quieter "
        sure += "machine (delete the timing in the store)"
    return (
        f"Seconds are matched by a training step timed on {study.timing['device']}, one thread, the arms interleaved, "
        f"before anything was planned: a step takes, over the baseline's, {ratios}; {sure}."
    )


LOOSE = 0.02
"""Half-width of a ratio of seconds above which a reader is told. Assumption: 2 % of the tokens at a slope of 0.1 nats a
factor e of compute (definitions 3.7) are 0.002 nats, a fifth of the default margin."""


def to_json(row: RegimeRow) -> dict[str, Any]:
    """A row as plain data, its standing in it."""
    return {**dataclasses.asdict(row), "standing": row.standing, "equal": NOUNS[row.regime]}


def margin_text(study: StudyRecord) -> str:
    return f"{plain(study.margin)} nats per byte"
