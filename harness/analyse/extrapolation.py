"""Length extrapolation over seeds: lines to draw, a panel a position variant, and the growth past the training length.

Reads the details of the scores called `extrapolation`, each an `Extrapolation.to_json()`. All lengths are scored on the
same targets, so growth is a difference paired block by block; its interval counts the spread of seeds and of blocks,
as analyse/items.py does for seeds and items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from harness.analyse.items import ItemComparison, hierarchical
from harness.analyse.levels import Band, band
from harness.analyse.outcomes import by_arm
from harness.analyse.scores import records_of
from harness.records.record import ArmRecord, StudyRecord, StudyRun

NAME = "extrapolation"

Mode = Literal["sliding", "non-overlapping"]
MODES: tuple[Mode, ...] = ("sliding", "non-overlapping")

Detail = Mapping[str, Any]


@dataclass(frozen=True)
class LengthLine:
    """An arm's loss, nats per token, over context / training length; `bands` by the way of cutting the text."""

    arm: str
    place: int
    is_baseline: bool
    bands: dict[Mode, Band]


@dataclass(frozen=True)
class Panel:
    """The arms of a position variant."""

    position: str
    lines: list[LengthLine]


@dataclass(frozen=True)
class GrowthRow:
    """Nats per token against the training length, by ratio; None where it is not known. `train` is that length."""

    arm: str
    train: int  # tokens
    num_blocks: int
    growth: dict[float, ItemComparison | None]


@dataclass(frozen=True)
class Gap:
    """Lengths without a loss: the one reason, and which arms and ratios it is of."""

    reason: str
    ratios: tuple[float, ...]
    arms: tuple[str, ...]


def panels(study: StudyRecord, runs: Sequence[StudyRun]) -> list[Panel]:
    """The panels in the study's order of arms; arms without this score are left out."""
    found: dict[str, list[LengthLine]] = {}
    mine = by_arm(runs)
    for place, arm in enumerate(study.arms):
        details = _details(mine.get(arm.name, ()), arm.name)
        bands: dict[Mode, Band] = {mode: _band(details, mode) for mode in MODES}
        if any(one.xs for one in bands.values()):
            line = LengthLine(arm.name, place, arm.name == study.baseline, bands)
            found.setdefault(_position(arm), []).append(line)
    return [Panel(position, lines) for position, lines in found.items()]


def _position(arm: ArmRecord) -> str:
    return arm.spec["position"]["variant"]


def _details(runs: Sequence[StudyRun], arm: str) -> list[Detail]:
    return [records[0].detail for records in records_of(runs, arm, NAME).values()]


def _band(details: Sequence[Detail], mode: Mode) -> Band:
    points: dict[float, list[float]] = {}
    for point in (point for detail in details for point in detail["points"]):
        if point["mode"] == mode and point["nats_per_token"] is not None:
            points.setdefault(point["ratio"], []).append(point["nats_per_token"])
    return band(points)


def growth_rows(study: StudyRecord, runs: Sequence[StudyRun], arms: Sequence[str], mode: Mode) -> list[GrowthRow]:
    """The rows of the `arms` that were scored, in their order."""
    rows = []
    mine = by_arm(runs)
    for arm in arms:
        details = _details(mine.get(arm, ()), arm)
        if details:
            ratios = [p["ratio"] for p in details[0]["points"] if p["mode"] == mode and p["ratio"] != 1]
            growth = {ratio: _growth(details, ratio, mode) for ratio in ratios}
            rows.append(GrowthRow(arm, details[0]["train_context"], len(details[0]["block_tokens"]), growth))
    return rows


def _growth(details: Sequence[Detail], ratio: float, mode: Mode) -> ItemComparison | None:
    """The mean over seeds of the difference to the training length, over shared blocks of targets."""
    tokens = np.array(details[0]["block_tokens"], dtype=np.float64)
    text = tokens > 0
    differences = []
    for detail in details:
        assert detail["block_tokens"] == details[0]["block_tokens"], "one study, one corpus, the same blocks"
        here, trained = _blocks(detail, ratio, mode), _blocks(detail, 1.0, mode)
        if here is not None and trained is not None:
            differences.append((here - trained)[text] / tokens[text])
    if not differences:
        return None
    blocks = [str(i) for i in range(int(text.sum()))]
    return hierarchical(f"growth at {ratio:g}x", "nats per token", np.stack(differences), blocks, tokens[text])


def _blocks(detail: Detail, ratio: float, mode: Mode) -> np.ndarray | None:
    """(blocks,) nats; None where the loss is not defined."""
    point = next((p for p in detail["points"] if p["ratio"] == ratio and p["mode"] == mode), None)
    return np.array(point["block_nats"]) if point is not None and point["nats_per_token"] is not None else None


def gaps(study: StudyRecord, runs: Sequence[StudyRun]) -> list[Gap]:
    """Why some lengths have no loss, each reason once."""
    ratios: dict[str, set[float]] = {}
    arms: dict[str, dict[str, None]] = {}
    mine = by_arm(runs)
    for arm in study.arms:
        for point in (p for detail in _details(mine.get(arm.name, ()), arm.name) for p in detail["points"]):
            if point["nats_per_token"] is None:
                reason = point["reason"] or "the loss is not a number"
                ratios.setdefault(_kind(reason, point["context"]), set()).add(point["ratio"])
                arms.setdefault(_kind(reason, point["context"]), {})[arm.name] = None
    return [Gap(reason, tuple(sorted(ratios[reason])), tuple(arms[reason])) for reason in ratios]


def _kind(reason: str, context: int) -> str:
    """A reason that ends in its context, which the ratios say already, is one reason at every context."""
    return reason.removesuffix(f" for a context of {context}")
