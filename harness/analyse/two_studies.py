"""Two studies beside each other: what differs between their setups, and whether what an arm changes differs too.

Runs of one seed share their data order and their initial values only where the data are the same; then two studies of
the same seeds are paired by seed. Elsewhere the seeds are two samples, and Welch's test is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.analyse.comparison import Comparison
from harness.analyse.outcomes import outcomes
from harness.analyse.scores import PRIMARY
from harness.analyse.statistics import PairedT, paired_t
from harness.analyse.text import listing
from harness.analyse.welch import welch_t
from harness.records.record import StudyRecord, StudyRun

LEAST = 2
"""Values that a spread needs."""


@dataclass(frozen=True)
class Difference:
    """Something that is one thing in the first study and another in the second."""

    what: str
    first: str
    second: str


@dataclass(frozen=True)
class Pairing:
    """Whether the two studies are paired by seed, and why in words."""

    by_seed: bool
    why: str


@dataclass(frozen=True)
class Contrast:
    """Second minus first, with its interval; None where there are too few values. `how` names the test."""

    found: PairedT | None
    how: Literal["paired by seed", "Welch", "too few seeds", "the same runs"]


@dataclass(frozen=True)
class SharedArm:
    """An arm against the same other in both studies, and how much more it changes in the second."""

    first: Comparison
    second: Comparison
    change: Contrast


@dataclass(frozen=True)
class SharedLevel:
    """An arm's values by seed in both studies, and how far the second's are from the first's."""

    arm: str
    first: dict[int, float]
    second: dict[int, float]
    change: Contrast


def differences(first: StudyRecord, second: StudyRecord) -> list[Difference]:
    """Everything recorded of how the studies were done that is not the same."""
    one, two = dict(_flat(_setup(first))), dict(_flat(_setup(second)))
    names = list(dict.fromkeys([*one, *two]))
    found = [Difference(n, one.get(n, "none"), two.get(n, "none")) for n in names if one.get(n) != two.get(n)]
    only = [[arm.name for arm in a.arms if arm.name not in {o.name for o in b.arms}] for a, b in _both(first, second)]
    return [*found, *([Difference("arms that the other has not", *map(listing, only))] if any(only) else [])]


def _both(first: StudyRecord, second: StudyRecord) -> list[tuple[StudyRecord, StudyRecord]]:
    return [(first, second), (second, first)]


def _setup(study: StudyRecord) -> dict[str, Any]:
    spec = next(arm.spec for arm in study.arms if arm.name == study.baseline)
    return {
        **{name: getattr(study, name) for name in ("baseline", "match", "budget", "margin", "seeds")},
        **{name: getattr(study, name) for name in ("recipe", "data", "environment")},
        "design": study.design.get("kinds", []),
        "baseline's model": spec,
    }


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inside in value.items():
            yield from _flat(inside, f"{name} {key}".strip())
    elif isinstance(value, (list, tuple)):
        yield name, listing(value)
    else:
        yield name, f"{value:.15g}" if isinstance(value, float) else str(value)


def pairing(first: StudyRecord, second: StudyRecord) -> Pairing:
    """Paired where the data and the seeds are the same."""
    if any(first.data.get(name) != second.data.get(name) for name in ("sha256", "tokenizer", "vocab_size")):
        why = "The data differ, so a seed is not the same sequence of text in both: unpaired, Welch's t-test."
        return Pairing(False, why)
    if sorted(first.seeds) != sorted(second.seeds):
        return Pairing(False, "The seeds differ, so runs do not pair off: unpaired, Welch's t-test.")
    return Pairing(True, "Same data and same seeds: paired by seed, Student's t-test of the differences.")


def shared_arms(
    first: Sequence[Comparison], second: Sequence[Comparison], paired: bool, same_runs: frozenset[str] = frozenset()
) -> list[SharedArm]:
    """The comparisons that both studies made, in the order of the first. Unpaired, seeds are independent samples."""
    other = {(c.arm, c.baseline): c for c in second}
    both = [(c, other[c.arm, c.baseline]) for c in first if (c.arm, c.baseline) in other]
    return [
        SharedArm(a, b, contrast(_by_seed(a), _by_seed(b), paired, {a.arm, a.baseline} <= same_runs)) for a, b in both
    ]


def _by_seed(c: Comparison) -> dict[int, float]:
    """Arm minus baseline on each seed that both finished."""
    return {int(seed): arm - baseline for seed, baseline, arm in c.pairs}


def shared_levels(
    first: tuple[StudyRecord, Sequence[StudyRun]], second: tuple[StudyRecord, Sequence[StudyRun]], paired: bool
) -> list[SharedLevel]:
    """The primary score of the arms that both studies have, in the order of the first."""
    names = {arm.name for arm in second[0].arms}
    same = same_runs(first[1], second[1])
    rows = []
    for arm in (arm.name for arm in first[0].arms if arm.name in names):
        a, b = (outcomes(study, runs, arm, PRIMARY).values for study, runs in (first, second))
        rows.append(SharedLevel(arm, a, b, contrast(a, b, paired, arm in same)))
    return rows


def same_runs(first: Sequence[StudyRun], second: Sequence[StudyRun]) -> frozenset[str]:
    """Arms of which both studies hold the very same runs: nothing is measured twice there."""
    keys = [{(r.arm, r.seed): r.record.key for r in runs} for runs in (first, second)]
    arms = {arm for arm, _ in keys[0]}
    return frozenset(a for a in arms if _of(keys[0], a) == _of(keys[1], a))


def _of(keys: Mapping[tuple[str, int], str], arm: str) -> dict[int, str]:
    return {seed: key for (name, seed), key in keys.items() if name == arm}


def contrast(first: Mapping[int, float], second: Mapping[int, float], paired: bool, same: bool = False) -> Contrast:
    """Second minus first, by seed."""
    if same:
        return Contrast(None, "the same runs")
    if paired:
        common = [seed for seed in first if seed in second]
        if len(common) < LEAST:
            return Contrast(None, "too few seeds")
        return Contrast(paired_t([second[s] - first[s] for s in common]), "paired by seed")
    if min(len(first), len(second)) < LEAST:
        return Contrast(None, "too few seeds")
    return Contrast(welch_t(list(first.values()), list(second.values())), "Welch")
