"""The roofline as data: each module's arithmetic intensity, arms that agree in one row, and the two ceilings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analyse.quantities import rate, rounded
from harness.analyse.text import count, listing

LISTED = 2
"""Arms that a row names; of more it counts them."""


@dataclass(frozen=True)
class Module:
    """Modules of one name in all layers, in the arms that have them with this cost: a token's forward pass in one.

    `attainable` FLOP/s and `bound` are None where a ceiling is unknown; `place` is that of the first of the arms in the
    study, for its colour.
    """

    name: str
    count: int
    flops: float
    num_bytes: float
    intensity: float
    attainable: float | None
    bound: str | None
    arms: tuple[str, ...]
    place: int


@dataclass(frozen=True)
class Roof:
    """`modules` in the model's order; `arms` are all arms, the baseline first."""

    arms: list[str]
    dtype: str
    flops_per_s: float | None
    bytes_per_s: float | None
    ridge: float | None
    modules: list[Module]

    @property
    def names(self) -> list[str]:
        """Each module's name once, in order."""
        return list(dict.fromkeys(module.name for module in self.modules))


def roof(detail: Mapping[str, Any], study_arms: Sequence[str]) -> Roof:
    """From the detail of a measurement; the ceilings are of the one device that all arms ran on."""
    arms = detail["arms"]
    found: dict[tuple[Any, ...], list[str]] = {}
    points: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for arm in arms:
        for point in arm["roofline"]["points"]:
            key = (point["name"], point["count"], point["flops"], point["num_bytes"])
            found.setdefault(key, []).append(arm["arm"])
            points[key] = point
    names = list(dict.fromkeys(key[0] for key in found))
    modules = [_module(points[key], who, study_arms.index(who[0])) for key, who in found.items()]
    limits = arms[0]["roofline"]["ceilings"]
    return Roof(
        arms=[arm["arm"] for arm in arms],
        dtype=limits["dtype"],
        flops_per_s=limits["flops_per_s"],
        bytes_per_s=limits["bytes_per_s"],
        ridge=arms[0]["roofline"]["ridge"],
        modules=sorted(modules, key=lambda module: names.index(module.name)),
    )


def sentence(data: Roof) -> str:
    """Where the roof's ridge is, or which ceiling is unknown."""
    unknown = [what for what, value in (("FLOP/s", data.flops_per_s), ("bytes/s", data.bytes_per_s)) if value is None]
    if unknown:
        said = f"This device's ceiling of {listing(unknown)} could not be measured in {data.dtype}"
        return f"{said}, so nothing is drawn for it and no module is said to be bound."
    return (
        f"Below {rounded(data.ridge)} FLOPs a byte a module is bound by memory "
        f"({rate(data.bytes_per_s, 'B/s')} copied), above it by arithmetic "
        f"({rate(data.flops_per_s, 'FLOP/s')}, {data.dtype})."
    )


def arms_text(module: Module, data: Roof) -> str:
    """`all arms`, `gpt2 and norm=rms`, `23 arms`."""
    if len(module.arms) == len(data.arms):
        return "all arms" if len(data.arms) > 1 else module.arms[0]
    return listing(module.arms) if len(module.arms) <= LISTED else count(len(module.arms), "arm")


def _module(point: Mapping[str, Any], arms: Sequence[str], place: int) -> Module:
    return Module(
        name=point["name"],
        count=point["count"],
        flops=point["flops"],
        num_bytes=point["num_bytes"],
        intensity=point["intensity"],
        attainable=point["attainable"],
        bound=point["bound"],
        arms=tuple(arms),
        place=place,
    )
