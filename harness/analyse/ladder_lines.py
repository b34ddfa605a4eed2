"""A ladder as lines to draw: an arm's loss over training FLOPs with its band, and its multipliers with theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analyse.ladder import Climb, arm_of
from harness.analyse.levels import ArmBand, Band, Level, band
from harness.analyse.multiplier_curve import Fitted
from harness.analyse.outcomes import outcomes
from harness.analyse.scaling import Multiplier
from harness.analyse.scores import PRIMARY
from harness.records.ladder import Rung


@dataclass(frozen=True)
class WorthLine:
    """An arm's multipliers: `curve` between its rungs, and at the rungs (FLOPs, multiplier, interval)."""

    arm: str
    place: int
    curve: Band
    points: list[tuple[float, float, tuple[float, float] | None]]


def loss_lines(rungs: Sequence[Rung], score: str = PRIMARY) -> list[ArmBand]:
    """Every arm that finished a run: mean loss over seeds at its training FLOPs of each rung, ends of annealed runs."""
    found = []
    for place, arm in enumerate(rungs[0].study.arms):
        values = {
            arm_of(rung, arm.name).training_flops: list(
                outcomes(rung.study, rung.runs, arm.name, score).values.values()
            )
            for rung in rungs
        }
        line = band(values)
        if line.xs:
            found.append(ArmBand(arm.name, place, arm.name == rungs[0].study.baseline, line))
    return found


def fit_line(fit: Fitted | None) -> Band | None:
    """The baseline's law with its band."""
    if fit is None:
        return None
    levels = (Level(loss, ci, 0) for loss, ci in zip(fit.losses, fit.band, strict=True))
    return Band(tuple(fit.budgets), tuple(levels))


def worth_lines(found: Sequence[Climb]) -> list[WorthLine]:
    """The arms that have a multiplier anywhere."""
    lines = []
    for place, climb in enumerate(found, start=1):
        points = [(m.budget, m.multiplier, m.ci95) for m in climb.worth.get("FLOPs", []) if m.multiplier is not None]
        if points:
            lines.append(WorthLine(climb.arm, place, _curve(climb.curve), points))
    return lines


def _curve(curve: Sequence[Multiplier]) -> Band:
    known = [(m.budget, Level(m.multiplier, m.ci95, 0)) for m in curve if m.multiplier is not None]
    return Band(tuple(budget for budget, _ in known), tuple(at for _, at in known))
