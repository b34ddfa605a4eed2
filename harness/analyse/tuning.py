"""Shared recipe and tuned learning rates side by side: what each says of an arm, and what tuning took or gave.

Comparing with everyone's recipe that of the baseline is biased towards the baseline; an arm whose only gain is a better
learning rate loses that gain here, where both arms have their own (definitions 3.3).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from harness.analyse import learning_rate as lr
from harness.analyse.comparison import Comparison
from harness.analyse.learning_rate import Curve, Optimum, Width
from harness.analyse.statistics import PairedT, paired_t
from harness.analyse.text import interval, listing, plain, signed
from harness.records.tuning import TuningRecord


@dataclass(frozen=True)
class Sensitivity:
    """An arm's learning-rate curve and what it says; `chosen` is what it is trained with once tuned."""

    arm: str
    curve: Curve
    optimum: Optimum | None
    chosen: float | None
    ci95: tuple[float, float] | None  # of the optimum, a rate
    width: Width | None
    num_trials: int
    num_broken: int


@dataclass(frozen=True)
class TunedRow:
    """An arm's comparison under the shared recipe, tuned, and the change between the two, paired by seed."""

    arm: str
    shared: Comparison
    tuned: Comparison | None
    change: PairedT | None
    words: str


@dataclass(frozen=True)
class Transfer:
    """The baseline at its whole budget, at half the tuned rate, that rate and twice it: (rate, mean loss or None)."""

    points: list[tuple[float, float | None]]
    cost: float | None  # nats per byte that the tuned rate loses against the best of the three


def sensitivities(record: TuningRecord, margin: float) -> list[Sensitivity]:
    """One an arm, in the record's order.

    Args:
        margin: nats per byte, for the width.
    """
    return [_sensitivity(record, arm, margin) for arm in record.arms]


def _sensitivity(record: TuningRecord, arm: str, margin: float) -> Sensitivity:
    curve = lr.curve(record.trials, arm, record.center)
    found = lr.optimum(curve)
    ends = found.ci95 if found else None
    return Sensitivity(
        arm=arm,
        curve=curve,
        optimum=found,
        chosen=lr.best_rate(curve, record.center),
        ci95=None if ends is None else (_rate(record.center, ends[0]), _rate(record.center, ends[1])),
        width=lr.width(curve, margin),
        num_trials=sum(trial.arm == arm for trial in record.trials),
        num_broken=sum(trial.arm == arm and trial.loss is None for trial in record.trials),
    )


def _rate(center: float, octaves: float) -> float:
    return center * 2.0 ** min(max(octaves, -60.0), 60.0)


def tuned_rows(shared: Sequence[Comparison], tuned: Sequence[Comparison]) -> list[TunedRow]:
    """One for each shared comparison, in its order."""
    found = {c.arm: c for c in tuned}
    rows = []
    for before in shared:
        after = found.get(before.arm)
        change = None if after is None else change_of(before, after)
        rows.append(TunedRow(before.arm, before, after, change, tuned_words(before, after, change)))
    return rows


def change_of(shared: Comparison, tuned: Comparison) -> PairedT | None:
    """Tuned minus shared difference, seed by seed, with its interval; None for fewer than 2 seeds."""
    before = {pair[0]: pair[2] - pair[1] for pair in shared.pairs}
    after = {pair[0]: pair[2] - pair[1] for pair in tuned.pairs}
    both = [after[seed] - before[seed] for seed in before if seed in after]
    return paired_t(both) if len(both) > 1 else None


def tuned_words(shared: Comparison, tuned: Comparison | None, change: PairedT | None) -> str:
    """What the two comparisons say together, in a sentence."""
    if tuned is None or tuned.verdict is None or shared.verdict is None:
        return f"{shared.arm}: there are not two verdicts to set side by side"
    arm, then = shared.arm, f"{shared.verdict} with the shared recipe, {tuned.verdict} once both are tuned"
    if shared.verdict == tuned.verdict:
        return f"{arm} is {tuned.verdict} with the shared recipe and tuned"
    if shared.verdict == "better":
        if tuned.verdict in ("equivalent", "worse") or (change is not None and change.ci[0] > 0):
            return f"{arm} is {then}: its gain was the learning rate's{_changed(change)}"
        return f"{arm} is {then}: its gain is not shown where both have their own learning rate{_changed(change)}"
    if shared.verdict == "worse":
        return f"{arm} is {then}: the shared learning rate was not fair to it{_changed(change)}"
    if tuned.verdict == "better":
        return f"{arm} is {then}: it needs its own learning rate{_changed(change)}"
    return f"{arm} is {then}{_changed(change)}"


def _changed(change: PairedT | None) -> str:
    return "" if change is None else f" (tuning moves the difference by {signed(change.mean)} {interval(change.ci)})"


def transfer(record: TuningRecord) -> Transfer | None:
    """Whether the baseline's optimum holds at the whole budget; None where it was not asked or not yet tried."""
    losses: dict[float, list[float | None]] = {}
    for trial in record.trials:
        if record.whole and trial.arm == record.whole:
            losses.setdefault(trial.lr, []).append(trial.loss)
    if not losses:
        return None
    points = [(rate, _mean(losses[rate])) for rate in sorted(losses)]
    known = [mean for _, mean in points if mean is not None]
    middle = points[len(points) // 2][1]
    return Transfer(points, None if middle is None or not known else middle - min(known))


def _mean(losses: Sequence[float | None]) -> float | None:
    known = [loss for loss in losses if loss is not None]
    return sum(known) / len(known) if len(known) == len(losses) else None


def warnings(record: TuningRecord, found: Sequence[Sensitivity], margin: float) -> list[str]:
    """What a reader must know before believing the tuned comparison; empty when all went well."""
    told = []
    for s in found:
        if s.curve.points and s.curve.edge is not None:
            best = s.curve.best
            where = "every rate that was tried diverged" if best is None else f"the best rate, {plain(best.lr)},"
            told.append(
                f"WARNING: {s.arm}: {where}{'' if best is None else ' lies on the edge of those that were tried'}, so "
                "this arm is not tuned; choose another --lr to search around"
            )
    counts = Counter({s.arm: s.num_trials for s in found})
    if len(set(counts.values())) > 1:
        told.append(f"WARNING: the arms do not have equally many trials: {dict(counts)}")
    moved = transfer(record)
    if moved is not None and (moved.cost is None or moved.cost > margin):
        lost = "diverges" if moved.cost is None else f"loses {moved.cost:.4f} nats per byte against a factor 2 away"
        told.append(
            f"WARNING: at its whole budget the baseline {lost} at the rate tuned at {record.share:g} of it; "
            "--tune-share 1 tunes at the whole"
        )
    return told


def widened(found: Sequence[Sensitivity]) -> str:
    """How far the grid was widened beyond three octaves, and for whose sake it was; empty where it was not."""
    octaves = [point.half / 2 for s in found for point in s.curve.points if point.half % 2 == 0]
    low, high = min(octaves, default=0.0), max(octaves, default=0.0)
    sides = [f"down to {low:+g}"] * (low < -lr.GRID / 2) + [f"up to {high:+g}"] * (high > lr.GRID / 2)
    if not sides:
        return ""
    return f"An optimum lay on the edge of the grid, so it was widened for all arms, {listing(sides)} octaves."
