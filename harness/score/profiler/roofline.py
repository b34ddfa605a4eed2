"""The roofline: each module's arithmetic intensity against the device's two ceilings (Williams et al. 2009,
doi:10.1145/1498765.1498785). attainable FLOP/s = min(peak FLOP/s, intensity x bytes/s).
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any, Literal

import torch

from harness.plan.ledger import Ledger
from harness.plan.part_cost import ModuleCost
from harness.plan.traffic import ELEMENT_BYTES
from harness.score.throughput.ceilings import Ceilings


@dataclass(frozen=True)
class RooflinePoint:
    """Modules of one name in all layers that cost the same. FLOPs and bytes of one forward pass, a token and module.

    `attainable` FLOP/s and `bound` are None where a ceiling is unknown.
    """

    name: str
    count: int
    flops: float
    num_bytes: float
    intensity: float
    attainable: float | None
    bound: Literal["compute", "memory"] | None


@dataclass(frozen=True)
class Roofline:
    """`ridge` is the intensity at which the two ceilings meet; None where one is unknown."""

    ceilings: Ceilings
    ridge: float | None
    points: tuple[RooflinePoint, ...]

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "ceilings": self.ceilings.to_json()}


def roofline(ledger: Ledger, ceilings: Ceilings) -> Roofline:
    """A point for each kind of module that does arithmetic and moves bytes.

    The ledger's bytes are the fewest that must move (harness/plan/traffic.py), so an intensity is an upper bound.
    """
    element = getattr(torch, ceilings.dtype).itemsize
    groups: dict[tuple[str, float, float], int] = {}
    for module in ledger.modules:
        flops = module.flops.model + module.flops.pointwise
        num_bytes = _bytes(module, ledger.spec.seq_len, element)
        if flops and num_bytes:
            key = (re.sub(r"\.\d+\.", ".*.", module.name), flops, num_bytes)
            groups[key] = groups.get(key, 0) + 1
    points = [_point(name, count, flops, moved, ceilings) for (name, flops, moved), count in groups.items()]
    return Roofline(ceilings, ceilings.ridge, tuple(points))


def _bytes(module: ModuleCost, seq_len: int, element: int) -> float:
    return module.traffic.bytes_per_token(seq_len) * element / ELEMENT_BYTES


def _point(name: str, count: int, flops: float, num_bytes: float, ceilings: Ceilings) -> RooflinePoint:
    intensity = flops / num_bytes
    if ceilings.flops_per_s is None or ceilings.bytes_per_s is None:
        return RooflinePoint(name, count, flops, num_bytes, intensity, None, None)
    slope = intensity * ceilings.bytes_per_s
    bound = "memory" if slope < ceilings.flops_per_s else "compute"
    return RooflinePoint(name, count, flops, num_bytes, intensity, min(slope, ceilings.flops_per_s), bound)
