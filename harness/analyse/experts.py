"""How mixtures of experts are used, over seeds: load, balance, and what a capacity costs.

Reads `MoEHealth.to_json()`: of every finished run of a mixture from its record, and with capacity factors from the
scores called `capacity`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analyse.levels import ArmBand, Level, band, level
from harness.analyse.outcomes import by_arm
from harness.analyse.scores import records_of
from harness.records.record import StudyRecord, StudyRun

MEASURES = ("max_violation", "load_entropy", "dead_experts", "drop_rate")
"""Of a layer, in `LayerHealth`."""

UNLIMITED = 2.0
"""Where no capacity at all is drawn: so many times the largest factor."""

Health = Mapping[str, Any]


@dataclass(frozen=True)
class LoadMap:
    """`shares[layer][rank]`: visits of an expert over the even share, averaged over seeds; layers from the first.

    Experts are ranked by load in each layer of each run, the busiest first. Expert 3 of one seed has nothing to do with
    expert 3 of another, so an average by index would look even however uneven each run is.
    """

    arm: str
    num_seeds: int
    shares: list[list[float]]


@dataclass(frozen=True)
class HealthRow:
    """An arm's balance: each measure is averaged over the layers of a run, then over runs."""

    arm: str
    num_experts: tuple[int, ...]  # the different numbers of its layers
    num_layers: int
    measures: dict[str, Level | None]


@dataclass(frozen=True)
class CapacityLine:
    """Drop rate, as a share of visits, and loss, nats per token, over the capacity factor. `unlimited` is the x where
    nothing is dropped, None where that was not scored.
    """

    drop_rate: ArmBand
    loss: ArmBand
    unlimited: float | None

    @property
    def factors(self) -> set[float]:
        """Every x of either line."""
        return {*self.drop_rate.band.xs, *self.loss.band.xs}


def load_maps(study: StudyRecord, runs: Sequence[StudyRun]) -> list[LoadMap]:
    """The arms that have a mixture, in the study's order."""
    maps = []
    mine = by_arm(runs)
    for arm in study.arms:
        found = _healths(mine.get(arm.name, ()))
        if found:
            layers = range(min(len(health["layers"]) for health in found))
            loads = [[health["layers"][i]["load"] for health in found] for i in layers]
            maps.append(LoadMap(arm.name, len(found), [_ranked(layer) for layer in loads]))
    return maps


def _ranked(loads: Sequence[Sequence[int]]) -> list[float]:
    """The mean over runs of the sorted shares, the even share being 1."""
    shares = [sorted((n * len(load) / max(1, sum(load)) for n in load), reverse=True) for load in loads]
    return [sum(rank) / len(rank) for rank in zip(*shares, strict=True)]


def health_rows(study: StudyRecord, runs: Sequence[StudyRun], arms: Sequence[str]) -> list[HealthRow]:
    """The rows of the `arms` that have a mixture, in their order."""
    rows = []
    mine = by_arm(runs)
    for arm in arms:
        found = _healths(mine.get(arm, ()))
        if found:
            layers = found[0]["layers"]
            experts = dict.fromkeys(len(layer["load"]) for layer in layers)
            measures = {name: level([_over_layers(health, name) for health in found]) for name in MEASURES}
            rows.append(HealthRow(arm, tuple(experts), len(layers), measures))
    return rows


def _healths(runs: Sequence[StudyRun]) -> list[Health]:
    finished = (run.record for run in runs if run.record.status == "finished")
    return [record.moe_health for record in finished if record.moe_health and record.moe_health["layers"]]


def _over_layers(health: Health, name: str) -> float:
    values = [layer[name] for layer in health["layers"]]
    return sum(values) / len(values)


def capacity_lines(study: StudyRecord, runs: Sequence[StudyRun]) -> list[CapacityLine]:
    """The arms that were scored at several capacity factors, in the study's order."""
    mine = by_arm(runs)
    points = {arm.name: _capacity_points(mine.get(arm.name, ()), arm.name) for arm in study.arms}
    factors = [p["capacity"] for found in points.values() for p in found if p["capacity"] is not None]
    beyond = UNLIMITED * max(factors, default=1.0)
    lines = []
    for place, arm in enumerate(study.arms):
        found = points[arm.name]
        if found:
            drops, losses = (
                _line(study, arm.name, place, found, name, beyond) for name in ("drop_rate", "nats_per_token")
            )
            lines.append(CapacityLine(drops, losses, beyond if any(p["capacity"] is None for p in found) else None))
    return lines


def _capacity_points(runs: Sequence[StudyRun], arm: str) -> list[Mapping[str, Any]]:
    details = (records[0].detail for records in records_of(runs, arm, "capacity").values())
    return [point for detail in details for point in detail.get("capacity", ())]


def _line(
    study: StudyRecord, arm: str, place: int, points: Sequence[Mapping[str, Any]], name: str, beyond: float
) -> ArmBand:
    values: dict[float, list[float]] = {}
    for point in (p for p in points if p[name] is not None):
        values.setdefault(beyond if point["capacity"] is None else point["capacity"], []).append(point[name])
    return ArmBand(arm, place, arm == study.baseline, band(values))
